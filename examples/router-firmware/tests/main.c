#include "check.h"
#include "layout.h"

int main(void)
{
	const char *differs = layout_differs();

	if (differs != NULL) {
		fprintf(stderr, "the header does not fit the library: %s\n", differs);
		return 1;
	}
	test_misuse();
	test_tunnels();
	puts("all tests passed");
	return 0;
}

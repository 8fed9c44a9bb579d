#include "check.h"

int main(void)
{
	test_layout();
	test_misuse();
	test_tunnels();
	puts("all tests passed");
	return 0;
}

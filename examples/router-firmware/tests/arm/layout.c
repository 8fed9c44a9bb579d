/* The layout on the machine that the firmware is for. */
#include "../layout.h"
#include "platform.h"

int main(void)
{
	const char *differs = layout_differs();

	platform_print(differs == 0 ? "the header fits the library" : "the header does not fit the library: ");
	platform_print(differs == 0 ? "" : differs);
	platform_print("\n");
	return differs != 0;
}

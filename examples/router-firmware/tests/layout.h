/*
 * Whether the header's structures are those that the library was compiled with: sizes and offsets, field by field. Null
 * if they are; otherwise what differs first. Needs no C library: a machine of 32 bits is to be asked, too.
 */
#ifndef LAYOUT_H
#define LAYOUT_H

const char *layout_differs(void);

#endif

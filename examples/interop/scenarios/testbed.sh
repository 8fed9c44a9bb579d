# roles: none
DESC="strongSwan on both sides: the testbed itself"

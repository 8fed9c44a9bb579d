DESC="the responder deletes, A behind a NAT"
NET=nat ID_A=a.example.test
. "$here/scenarios/delete-by-b.sh"
DESC="the responder deletes, A behind a NAT"

/*
 * Two routers in one program, joined by a lossless pair of queues, with a station behind each. They negotiate, the
 * stations ping each other through the tunnel, its keys are renewed, it is taken down and comes up again, and in the end
 * all memory is zero. The clock is a variable: waiting takes no time.
 *
 * Ends with 0 only if every ping came back, and nothing of them went between the routers in clear.
 */
#include "net.h"
#include "platform.h"
#include "router.h"
#include "site.h"

#define QUEUE 8

struct queue {
	unsigned first, count;
	struct {
		size_t length;
		uint8_t bytes[ROUTER_MTU];
	} packets[QUEUE];
};

/* What the board has besides the router: who is behind it, and what waits at its two interfaces. */
struct port {
	const struct site *site;
	struct port *other;
	struct queue from_inside, from_outside;
	unsigned pings, answers;
};

static struct router left, right;
static struct port left_port, right_port;
static uint64_t clock_ms;
static unsigned datagrams, in_clear, lost;

/* ---- print ---- */

static void print_number(uint64_t number)
{
	char digits[21], *at = digits + sizeof digits - 1;

	*at = '\0';
	do
		*--at = (char)('0' + number % 10);
	while ((number /= 10) > 0);
	platform_print(at);
}

/* A line begins with the time and the router. */
static void begin_line(const char *name)
{
	print_number(clock_ms);
	platform_print(" ms  ");
	platform_print(name);
	platform_print(": ");
}

/* ---- the board ---- */

static void push(struct queue *queue, const uint8_t *packet, size_t length)
{
	if (queue->count == QUEUE || length > ROUTER_MTU) {
		lost++;
		return;
	}
	unsigned at = (queue->first + queue->count++) % QUEUE;
	queue->packets[at].length = length;
	net_copy(queue->packets[at].bytes, packet, length);
}

uint64_t port_clock(const struct port *port)
{
	(void)port;
	return clock_ms;
}

void port_random(void *port, void *bytes, size_t length)
{
	(void)port;
	platform_random(bytes, length);
}

void port_log(void *port, const char *line)
{
	begin_line(((struct port *)port)->site->name);
	platform_print(line);
	platform_print("\n");
}

size_t port_receive(struct port *port, enum port_side side, uint8_t *packet, size_t room)
{
	struct queue *queue = side == PORT_INSIDE ? &port->from_inside : &port->from_outside;

	if (queue->count == 0)
		return 0;
	size_t length = queue->packets[queue->first].length;
	const uint8_t *bytes = queue->packets[queue->first].bytes;
	queue->first = (queue->first + 1) % QUEUE;
	queue->count--;
	if (length > room)
		return 0;
	net_copy(packet, bytes, length);
	return length;
}

static void station_receive(struct port *port, const uint8_t *packet, size_t length);

void port_send(struct port *port, enum port_side side, const uint8_t *packet, size_t length)
{
	if (side == PORT_INSIDE) {
		station_receive(port, packet, length);
		return;
	}
	uint8_t protocol = net_protocol(packet, length);
	begin_line(port->site->name);
	platform_print(protocol == NET_ESP ? "sends ESP, " : protocol == NET_UDP ? "sends IKE, " : "sends IN CLEAR, ");
	print_number(length);
	platform_print(" bytes\n");
	datagrams++;
	if (protocol != NET_ESP && protocol != NET_UDP)
		in_clear++;
	push(&port->other->from_outside, packet, length);
}

/* ---- the station behind it ---- */

enum { IP = 20, ECHO = 8, DATA = 56, PING = IP + ECHO + DATA, ECHO_REPLY = 0, ECHO_REQUEST = 8 };

static void send_echo(struct port *port, uint8_t type, unsigned number)
{
	uint8_t packet[PING] = { 4 << 4 | IP / 4, [3] = PING, [8] = 64, [9] = NET_ICMP };
	uint8_t *icmp = packet + IP;

	net_copy(packet + 12, port->site->station, 4);
	net_copy(packet + 16, port->other->site->station, 4);
	uint16_t sum = net_checksum_end(net_checksum(0, packet, IP));
	packet[10] = (uint8_t)(sum >> 8);
	packet[11] = (uint8_t)sum;
	icmp[0] = type;
	icmp[6] = (uint8_t)(number >> 8);
	icmp[7] = (uint8_t)number;
	for (unsigned i = 0; i < DATA; i++)
		icmp[ECHO + i] = (uint8_t)('a' + i % 26);
	sum = net_checksum_end(net_checksum(0, icmp, ECHO + DATA));
	icmp[2] = (uint8_t)(sum >> 8);
	icmp[3] = (uint8_t)sum;
	push(&port->from_inside, packet, sizeof packet);
}

static void station_receive(struct port *port, const uint8_t *packet, size_t length)
{
	if (length != PING || packet[9] != NET_ICMP || net_checksum_end(net_checksum(0, packet, IP)) != 0 ||
	    net_checksum_end(net_checksum(0, packet + IP, ECHO + DATA)) != 0) {
		lost++;
		return;
	}
	unsigned number = (unsigned)packet[IP + 6] << 8 | packet[IP + 7];
	if (packet[IP] == ECHO_REQUEST) {
		send_echo(port, ECHO_REPLY, number);
	} else if (number == port->answers + 1) {
		port->answers++;
		begin_line(port->site->name);
		platform_print("ping ");
		print_number(number);
		platform_print(" came back\n");
	}
}

static void ping(struct port *port)
{
	send_echo(port, ECHO_REQUEST, ++port->pings);
}

/* ---- the show ---- */

/* Until nothing is left to do for so long. */
static void run(uint64_t milliseconds)
{
	uint64_t end = clock_ms + milliseconds;

	for (;;) {
		bool busy = router_round(&left);
		busy |= router_round(&right);
		if (busy)
			continue;
		uint64_t next = router_deadline(&left), other = router_deadline(&right);
		next = other < next ? other : next;
		if (next > end)
			break;
		clock_ms = next;
	}
	clock_ms = end;
}

/* What the chapter before has cost, where that can be told. */
static void measures(void)
{
	uint32_t instructions = platform_instructions(), stack = platform_stack();

	if (stack == 0)
		return;
	platform_print("(both routers: ");
	print_number(instructions / 1000);
	platform_print(" thousand instructions; at most ");
	print_number(stack);
	platform_print(" bytes of stack so far)\n");
}

static void chapter(const char *text)
{
	measures();
	platform_print("\n");
	platform_print(text);
	platform_print("\n");
}

static bool is_zero(const struct ipsec *ipsec)
{
	for (size_t i = 0; i < sizeof ipsec->opaque; i++)
		if (ipsec->opaque[i] != 0)
			return false;
	return true;
}

static bool begin(struct router *router, struct port *port, const struct site *site, struct port *other)
{
	port->site = site;
	port->other = other;
	int result = router_init(router, port, &site->config, &site->outside, &site->inside);
	if (result < 0)
		port_log(port, ipsec_strerror(result));
	return result == IPSEC_DONE;
}

int main(void)
{
	left_port.site = &site_left;
	right_port.site = &site_right;
	if (!begin(&left, &left_port, &site_left, &right_port) || !begin(&right, &right_port, &site_right, &left_port))
		return 1;

	chapter("A ping finds no security association: it is held, and the routers negotiate.");
	ping(&left_port);
	run(1000);

	chapter("More of them, both ways.");
	for (int i = 0; i < 2; i++) {
		ping(&left_port);
		ping(&right_port);
		run(1000);
	}

	chapter("The keys are renewed.");
	bool ok = ipsec_renew(&left.vpn, clock_ms, SITE_LAN) == IPSEC_DONE;
	run(60000);
	ping(&left_port);
	run(1000);

	chapter("The left router ends the tunnel, and the next ping from the right begins anew.");
	ok = ok && ipsec_stop(&left.vpn, clock_ms, SITE_PEER) == IPSEC_DONE;
	run(5000);
	ping(&right_port);
	run(1000);

	chapter("Both are shut down.");
	ok = ok && ipsec_close(&left.vpn) == IPSEC_DONE && ipsec_close(&right.vpn) == IPSEC_DONE;
	bool wiped = is_zero(&left.vpn) && is_zero(&right.vpn);
	unsigned pings = left_port.pings + right_port.pings, answers = left_port.answers + right_port.answers;
	print_number(answers);
	platform_print(" of ");
	print_number(pings);
	platform_print(" pings came back; of ");
	print_number(datagrams);
	platform_print(" packets between the routers ");
	print_number(in_clear);
	platform_print(" were in clear; ");
	print_number(lost);
	platform_print(wiped ? " lost; the memory is wiped\n" : " lost; the memory is NOT WIPED\n");
	return ok && wiped && pings == answers && in_clear == 0 && lost == 0 ? 0 : 1;
}

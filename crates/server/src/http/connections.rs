//! The open connections, and the limits of each client: connections, concurrent requests, and memory that waits for the
//! client.
//!
//! A client is an IPv4 address or the /64 of an IPv6 address. `trusted_proxies` have many clients and no limit. If a
//! client, or all clients together, have the maximum number of connections, the connection that has waited longest for
//! its client is closed. An idle or slow connection ends, and the new one is accepted. The lock is only taken when a
//! connection opens or closes, and when a limit is reached. Requests only use counters.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use domain::Clock as _;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use verifier::network::network_of;

use super::queue_delay::QueueDelay;
use crate::system::SystemClock;

/// Limits for concurrent work.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// The maximum number of connections, without those of `trusted_proxies`.
    pub connections: usize,
    /// The maximum number of connections of one client.
    pub connections_per_client: usize,
    /// How long a client may take to send the headers of a request.
    pub header_timeout: Duration,
    /// How long a connection may wait for its client: for the next request, or until a response is read.
    pub idle_timeout: Duration,
    /// How long the server still accepts requests after it was requested to stop, while it reports that it is not
    /// ready.
    pub drain: Duration,
    /// How long requests may take to finish after that.
    pub shutdown_timeout: Duration,
    /// How long a connection of HTTP/1 is kept after its last response while the server stops. HTTP/1 has no message
    /// that the connection will be closed, so a client that is about to send a request would lose it.
    pub stop_grace: Duration,
    /// The delay of requests that an overloaded server keeps by refusing a share of them.
    pub queue_delay: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections: 4096,
            connections_per_client: 512,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_mins(1),
            drain: Duration::ZERO,
            shutdown_timeout: Duration::from_secs(20),
            stop_grace: Duration::from_secs(1),
            queue_delay: Duration::from_millis(25),
        }
    }
}

/// The maximum number of concurrent requests. Further requests are refused with 503.
const MAX_REQUESTS: usize = 1024;
/// The maximum number of concurrent requests of one client. It is less than the number of its connections, so that one
/// of these is always waiting.
const MAX_REQUESTS_PER_CLIENT: usize = 256;
/// The maximum memory for requests whose bodies are expected, and for responses that HTTP/2 clients have not read, in
/// KiB.
const MEMORY_KIB: usize = 192 * 1024;
/// The maximum memory for one client.
const MEMORY_KIB_PER_CLIENT: usize = 16 * 1024;
/// The memory of a waiting request without its body: its task and its headers.
const REQUEST_KIB: usize = 16;
/// The maximum number of closed connections that have not ended yet. Above it, new connections wait.
const MAX_ENDING: usize = 256;
/// A connection that has waited this long for its client is closed if others need its memory.
const SLOW_MICROS: u64 = 1_000_000;
/// The interval between searches for a slow connection when memory has run out.
const LOOK_EVERY: Duration = Duration::from_millis(20);

fn now_micros() -> u64 {
    u64::try_from(SystemClock.since_boot().as_micros()).unwrap_or(u64::MAX)
}

/// The client of connections.
#[derive(Debug)]
struct Client {
    network: IpAddr,
    /// Its concurrent requests.
    requests: AtomicUsize,
    /// The memory that waits for it, in KiB.
    memory: AtomicUsize,
    /// When the last search for its slow connections was.
    looked_at: AtomicU64,
}

impl Client {
    fn new(network: IpAddr) -> Self {
        let (requests, memory) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { network, requests, memory, looked_at: AtomicU64::new(0) }
    }

    /// Returns whether it is time to search for a slow connection of this client again.
    fn is_to_look(&self) -> bool {
        let (now, last) = (now_micros(), self.looked_at.load(Ordering::Relaxed));
        Duration::from_micros(now.saturating_sub(last)) >= LOOK_EVERY
            && self.looked_at.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// The state of a connection that determines whether it is closed.
#[derive(Debug)]
pub(crate) struct Connection {
    /// `None` for a trusted proxy.
    client: Option<Arc<Client>>,
    /// Whether a request was received.
    has_begun: AtomicBool,
    is_http2: AtomicBool,
    /// Its concurrent requests.
    requests: AtomicUsize,
    /// While there is no request, since when it waits for its client.
    waiting_since: AtomicU64,
    held: Mutex<Held>,
    is_closed: Notify,
}

/// The memory that waits for the client of a connection.
#[derive(Debug, Default)]
struct Held {
    next: u64,
    /// Since when each part waits. The first entry is the oldest.
    since: BTreeMap<u64, u64>,
}

/// The next action for a connection.
pub(crate) enum Due {
    /// None for this duration.
    In(Duration),
    /// Close it, because its first request was not received in time.
    Close,
    /// End it, because it has waited for its client for the maximum time.
    Retire,
}

impl Connection {
    fn new(client: Option<Arc<Client>>) -> Self {
        Self {
            client,
            has_begun: AtomicBool::new(false),
            is_http2: AtomicBool::new(false),
            requests: AtomicUsize::new(0),
            waiting_since: AtomicU64::new(now_micros()),
            held: Mutex::default(),
            is_closed: Notify::new(),
        }
    }

    pub(crate) const fn is_of_trusted_proxy(&self) -> bool {
        self.client.is_none()
    }

    /// Returns once it must be closed because a limit was reached.
    pub(crate) async fn closed(&self) {
        self.is_closed.notified().await;
    }

    /// Returns since when it waits for its client, or `None` while there is a request.
    fn waiting_since(&self) -> Option<u64> {
        (self.requests.load(Ordering::Relaxed) == 0).then(|| self.waiting_since.load(Ordering::Relaxed))
    }

    /// Returns since when memory waits for its client.
    fn held_since(&self) -> Option<u64> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.since.first_key_value().map(|(_, since)| *since)
    }

    /// Returns the action that its timeouts require.
    pub(crate) fn due(&self, limits: &ConnectionLimits) -> Due {
        let has_begun = self.has_begun.load(Ordering::Relaxed);
        let most = if has_begun { limits.idle_timeout } else { limits.header_timeout };
        let since = self.waiting_since().into_iter().chain(self.held_since()).min();
        let waited = since.map_or(0, |since| now_micros().saturating_sub(since));
        let waited = Duration::from_micros(waited);
        if waited < most {
            Due::In(most.saturating_sub(waited).max(Duration::from_millis(1)))
        } else if has_begun {
            Due::Retire
        } else {
            Due::Close
        }
    }

    /// Returns how long to keep it while the server stops. HTTP/2 has a message for the client, and an active request is
    /// answered in any case.
    pub(crate) fn due_at_stop(&self, limits: &ConnectionLimits) -> Option<Duration> {
        let since = self.waiting_since().filter(|_| !self.is_http2.load(Ordering::Relaxed))?;
        let waited = Duration::from_micros(now_micros().saturating_sub(since));
        limits.stop_grace.checked_sub(waited).filter(|left| !left.is_zero())
    }

    /// Records that its requests use HTTP/2.
    pub(crate) fn note_http2(&self) {
        self.is_http2.store(true, Ordering::Relaxed);
    }

    /// Records a request that needs no slot.
    pub(crate) fn note_request(&self) {
        self.has_begun.store(true, Ordering::Relaxed);
        self.waiting_since.store(now_micros(), Ordering::Relaxed);
    }

    fn begin_request(&self) {
        self.has_begun.store(true, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        if let Some(client) = &self.client {
            client.requests.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn hold(&self, kib: usize) -> u64 {
        if let Some(client) = &self.client {
            client.memory.fetch_add(kib, Ordering::Relaxed);
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = held.next;
        held.next += 1;
        held.since.insert(entry, now_micros());
        entry
    }

    fn let_go(&self, entry: u64, kib: usize) {
        if let Some(client) = &self.client {
            client.memory.fetch_sub(kib, Ordering::Relaxed);
        }
        self.held.lock().unwrap_or_else(PoisonError::into_inner).since.remove(&entry);
    }

    fn end_request(&self) {
        self.waiting_since.store(now_micros(), Ordering::Relaxed);
        self.requests.fetch_sub(1, Ordering::Relaxed);
        if let Some(client) = &self.client {
            client.requests.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[derive(Debug, Default)]
struct Open {
    clients: HashMap<IpAddr, OpenClient>,
    total: usize,
}

#[derive(Debug)]
struct OpenClient {
    client: Arc<Client>,
    connections: Vec<Arc<Connection>>,
}

impl OpenClient {
    /// Returns the connection that waits longest by this measure: its time and its position.
    fn longest(&self, since: impl Fn(&Connection) -> Option<u64>) -> Option<(u64, usize)> {
        let waiting = self.connections.iter().enumerate();
        waiting.filter_map(|(at, connection)| Some((since(connection)?, at))).min()
    }
}

/// The connections of a server.
#[derive(Debug)]
pub(crate) struct Connections {
    limits: ConnectionLimits,
    open: Mutex<Open>,
    requests: AtomicUsize,
    memory: Arc<Semaphore>,
    looking: tokio::sync::Mutex<()>,
    /// One permit for each connection of a client, until it has actually ended.
    alive: Arc<Semaphore>,
    queue_delay: QueueDelay,
}

impl Default for Connections {
    fn default() -> Self {
        Self::new(ConnectionLimits::default())
    }
}

/// An open connection's entry.
#[derive(Debug)]
pub(crate) struct Place {
    connections: Arc<Connections>,
    network: Option<IpAddr>,
    pub(crate) connection: Arc<Connection>,
    _alive: Option<OwnedSemaphorePermit>,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(network) = self.network {
            self.connections.open().remove(network, &self.connection);
        }
    }
}

impl Open {
    fn remove(&mut self, network: IpAddr, connection: &Arc<Connection>) {
        let Some(of_client) = self.clients.get_mut(&network) else { return };
        if let Some(at) = of_client.connections.iter().position(|other| Arc::ptr_eq(other, connection)) {
            of_client.connections.swap_remove(at);
            self.total -= 1;
        }
        if of_client.connections.is_empty() {
            self.clients.remove(&network);
        }
    }

    fn close(&mut self, network: IpAddr, at: usize) {
        let Some(of_client) = self.clients.get_mut(&network) else { return };
        let connection = of_client.connections.swap_remove(at);
        self.total -= 1;
        if of_client.connections.is_empty() {
            self.clients.remove(&network);
        }
        connection.is_closed.notify_one();
    }

    /// Closes the connection that has waited longest, of the client with most connections.
    fn close_longest_waiting(&mut self) -> bool {
        let of_client = |(network, client): (&IpAddr, &OpenClient)| {
            let (since, at) = client.longest(Connection::waiting_since)?;
            Some((client.connections.len(), Reverse(since), *network, at))
        };
        let longest = self.clients.iter().filter_map(of_client).max();
        longest.map(|(_, _, network, at)| self.close(network, at)).is_some()
    }

    /// Closes the slow connection whose memory has waited longest, of the client with the most waiting memory.
    fn close_slow(&mut self) {
        let slow = now_micros().saturating_sub(SLOW_MICROS);
        let of_client = |(network, open): (&IpAddr, &OpenClient)| {
            let (since, at) = open.longest(Connection::held_since).filter(|(since, _)| *since <= slow)?;
            Some((open.client.memory.load(Ordering::Relaxed), Reverse(since), *network, at))
        };
        if let Some((_, _, network, at)) = self.clients.iter().filter_map(of_client).max() {
            self.close(network, at);
        }
    }

    /// Closes the slow connection of a client whose memory has waited longest.
    fn close_slow_of(&mut self, network: IpAddr) {
        let slow = now_micros().saturating_sub(SLOW_MICROS);
        let longest = self.clients.get(&network).and_then(|open| open.longest(Connection::held_since));
        if let Some((_, at)) = longest.filter(|(since, _)| *since <= slow) {
            self.close(network, at);
        }
    }
}

impl Connections {
    pub(crate) fn new(limits: ConnectionLimits) -> Self {
        Self {
            limits,
            open: Mutex::default(),
            requests: AtomicUsize::new(0),
            memory: Arc::new(Semaphore::new(MEMORY_KIB)),
            looking: tokio::sync::Mutex::default(),
            alive: Arc::new(Semaphore::new(limits.connections + MAX_ENDING)),
            queue_delay: QueueDelay::new(limits.queue_delay),
        }
    }

    pub(crate) const fn limits(&self) -> &ConnectionLimits {
        &self.limits
    }

    pub(crate) const fn queue_delay(&self) -> &QueueDelay {
        &self.queue_delay
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns an entry for a connection from this address, of a trusted proxy or of a client. It may close another
    /// connection. Returns `None` if no connection waits for its client, so that none can be closed.
    pub(crate) async fn place(self: &Arc<Self>, address: IpAddr, is_trusted: bool) -> Option<Place> {
        if is_trusted {
            let connection = Arc::new(Connection::new(None));
            return Some(Place { connections: Arc::clone(self), network: None, connection, _alive: None });
        }
        let alive = Arc::clone(&self.alive).acquire_owned().await.ok()?;
        let network = network_of(address);
        let mut open = self.open();
        let of_client = open.clients.get(&network);
        let own = of_client.map_or(0, |client| client.connections.len());
        let has_room = if own >= self.limits.connections_per_client {
            let longest = of_client.and_then(|client| client.longest(Connection::waiting_since));
            longest.map(|(_, at)| open.close(network, at)).is_some()
        } else {
            open.total < self.limits.connections || open.close_longest_waiting()
        };
        if !has_room {
            return None;
        }
        let of_client = open
            .clients
            .entry(network)
            .or_insert_with(|| OpenClient { client: Arc::new(Client::new(network)), connections: Vec::new() });
        let connection = Arc::new(Connection::new(Some(Arc::clone(&of_client.client))));
        of_client.connections.push(Arc::clone(&connection));
        open.total += 1;
        Some(Place { connections: Arc::clone(self), network: Some(network), connection, _alive: Some(alive) })
    }

    /// Closes the connection that has waited longest for its client, because a resource of the system has run out.
    pub(crate) fn close_longest_waiting(&self) {
        self.open().close_longest_waiting();
    }

    /// Returns a slot for a request, or `None` if there are too many requests.
    pub(super) fn begin_request(self: &Arc<Self>, connection: Option<Arc<Connection>>) -> Option<Slot> {
        let slot = Slot { connections: Arc::clone(self), connection, is_held: AtomicBool::new(false) };
        slot.take().then_some(slot)
    }

    /// Reserves memory for `bytes` that wait for the client of a connection. Returns `None` if the client already has
    /// its maximum. If no memory is left for any client, this waits until some is free, and closes slow connections in
    /// the meantime.
    pub(super) async fn reserve(&self, connection: Option<Arc<Connection>>, bytes: usize) -> Option<Memory> {
        let kib = REQUEST_KIB + bytes.div_ceil(1024);
        if let Some(client) = connection.as_ref().and_then(|connection| connection.client.as_ref())
            && client.memory.load(Ordering::Relaxed) + kib > MEMORY_KIB_PER_CLIENT
        {
            if client.is_to_look() {
                self.open().close_slow_of(client.network);
            }
            return None;
        }
        let acquiring = Arc::clone(&self.memory).acquire_many_owned(u32::try_from(kib).unwrap_or(u32::MAX));
        let permit = tokio::select! {
            biased;
            // It fails only if the semaphore is closed, which no code does.
            permit = acquiring => permit.ok()?,
            never = self.close_slow_ones() => match never {},
        };
        let entry = connection.as_ref().map_or(0, |connection| connection.hold(kib));
        Some(Memory { connection, entry, kib, _permit: permit })
    }

    /// Closes slow connections one after the other. Only one of the waiting tasks does this.
    async fn close_slow_ones(&self) -> Infallible {
        let _looking = self.looking.lock().await;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            self.open().close_slow();
        }
    }
}

/// The permission to process a request. It is released while the request waits for bytes of the client.
#[derive(Debug)]
pub(super) struct Slot {
    connections: Arc<Connections>,
    connection: Option<Arc<Connection>>,
    is_held: AtomicBool,
}

impl Slot {
    /// Takes the slot, or takes it again. Returns false if there are too many requests.
    pub(super) fn take(&self) -> bool {
        if let Some(connection) = &self.connection {
            connection.begin_request();
        }
        let of_client = self.connection.as_ref().and_then(|connection| connection.client.as_ref());
        let others = self.connections.requests.fetch_add(1, Ordering::Relaxed);
        self.is_held.store(true, Ordering::Relaxed);
        let is_free = others < MAX_REQUESTS
            && of_client.is_none_or(|client| client.requests.load(Ordering::Relaxed) <= MAX_REQUESTS_PER_CLIENT);
        if !is_free {
            self.give_back();
        }
        is_free
    }

    /// Releases the slot, because the request waits for its client.
    pub(super) fn give_back(&self) {
        if self.is_held.swap(false, Ordering::Relaxed) {
            self.connections.requests.fetch_sub(1, Ordering::Relaxed);
            if let Some(connection) = &self.connection {
                connection.end_request();
            }
        }
    }

    /// Reserves memory for `bytes` that wait for the client. Returns `None` if the client already has its maximum.
    pub(super) async fn reserve(&self, bytes: usize) -> Option<Memory> {
        self.connections.reserve(self.connection.clone(), bytes).await
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// Memory that is reserved while data waits for a client.
#[derive(Debug)]
pub(super) struct Memory {
    connection: Option<Arc<Connection>>,
    entry: u64,
    kib: usize,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Some(connection) = &self.connection {
            connection.let_go(self.entry, self.kib);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(connections: usize, connections_per_client: usize) -> Arc<Connections> {
        Arc::new(Connections::new(ConnectionLimits {
            connections,
            connections_per_client,
            ..ConnectionLimits::default()
        }))
    }

    /// Returns an entry of a client, or of a trusted proxy. There is always room for another connection that ends.
    fn place(connections: &Arc<Connections>, address: IpAddr, is_trusted: bool) -> Option<Place> {
        use futures_util::FutureExt as _;
        connections.place(address, is_trusted).now_or_never().expect("it need not wait")
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn is_closed(place: &Place) -> bool {
        use futures_util::FutureExt as _;
        place.connection.closed().now_or_never().is_some()
    }

    /// Sets the time since which it has waited.
    fn wait(place: &Place, millis: u64) {
        place.connection.waiting_since.store(now_micros() - millis * 1000, Ordering::Relaxed);
    }

    #[test]
    fn at_its_cap_a_client_loses_the_connection_that_waited_longest() {
        let connections = connections(100, 3);
        let client = address("192.0.2.1");
        let other = place(&connections, address("192.0.2.2"), false).unwrap();
        wait(&other, 5000);
        let places: Vec<Place> = (0..3).map(|_| place(&connections, client, false).unwrap()).collect();
        for (place, millis) in places.iter().zip([100, 300, 200]) {
            wait(place, millis);
        }
        let _fourth = place(&connections, client, false).unwrap();
        assert_eq!(places.iter().map(is_closed).collect::<Vec<_>>(), [false, true, false]);
        assert!(!is_closed(&other), "another client has lost nothing");
    }

    #[test]
    fn a_connection_whose_request_is_worked_on_is_not_closed() {
        let connections = connections(100, 2);
        let client = address("192.0.2.1");
        let (one, two) = (place(&connections, client, false).unwrap(), place(&connections, client, false).unwrap());
        let slot = |place: &Place| connections.begin_request(Some(Arc::clone(&place.connection))).unwrap();
        let of_one = slot(&one);
        wait(&one, 5000);
        let three = place(&connections, client, false).unwrap();
        assert!(!is_closed(&one) && is_closed(&two));
        let _of_three = slot(&three);
        assert!(place(&connections, client, false).is_none(), "neither waits for its client");
        drop(of_one);
        assert!(place(&connections, client, false).is_some());
        assert!(is_closed(&one));
    }

    #[test]
    fn above_the_total_limit_the_client_with_most_connections_loses_one() {
        let connections = connections(5, 4);
        let quiet = place(&connections, address("192.0.2.1"), false).unwrap();
        wait(&quiet, 50_000);
        let many: Vec<Place> = (0..4).map(|_| place(&connections, address("2001:db8::1"), false).unwrap()).collect();
        wait(&many[2], 100);
        let _newcomer = place(&connections, address("192.0.2.3"), false).unwrap();
        assert!(!is_closed(&quiet));
        assert_eq!(many.iter().map(is_closed).collect::<Vec<_>>(), [false, false, true, false]);
    }

    #[test]
    fn an_ipv6_network_is_one_client_and_a_trusted_proxy_has_no_cap() {
        let connections = connections(3, 1);
        let one = place(&connections, address("2001:db8::1"), false).unwrap();
        let _two = place(&connections, address("2001:db8::2"), false).unwrap();
        assert!(is_closed(&one));
        let proxied: Vec<Place> = (0..100).map(|_| place(&connections, address("10.0.0.1"), true).unwrap()).collect();
        assert!(!proxied.iter().any(is_closed));
    }

    #[test]
    fn places_come_free_when_connections_end() {
        let connections = connections(2, 1);
        for _ in 0..10 {
            let one = place(&connections, address("192.0.2.1"), false).unwrap();
            let two = place(&connections, address("192.0.2.2"), false).unwrap();
            assert!(!is_closed(&one) && !is_closed(&two));
        }
        assert!(connections.open().clients.is_empty());
        assert_eq!(connections.open().total, 0);
    }

    #[test]
    fn a_client_has_fewer_slots_than_there_are_and_gets_them_back() {
        let connections = connections(100, 100);
        let (greedy, modest) = (address("192.0.2.1"), address("192.0.2.2"));
        let [greedy, modest] = [greedy, modest].map(|client| place(&connections, client, false).unwrap());
        let begin = |place: &Place| connections.begin_request(Some(Arc::clone(&place.connection)));
        let slots: Vec<Slot> = std::iter::from_fn(|| begin(&greedy)).collect();
        assert_eq!(slots.len(), MAX_REQUESTS_PER_CLIENT);
        assert!(begin(&modest).is_some());
        slots[0].give_back();
        assert!(slots[0].take());
        slots[0].give_back();
        assert!(begin(&greedy).is_some(), "one that waits for its client holds no slot");
        drop(slots);
        assert_eq!(connections.requests.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_client_has_a_share_of_memory_and_loses_a_slow_connection_where_it_wants_more() {
        let connections = connections(100, 100);
        let [greedy, modest] = [address("192.0.2.1"), address("192.0.2.2")];
        let greedy: Vec<Place> = (0..2).map(|_| place(&connections, greedy, false).unwrap()).collect();
        let modest = place(&connections, modest, false).unwrap();
        let half = (MEMORY_KIB_PER_CLIENT / 2 - REQUEST_KIB) * 1024;
        let reserve = |place: &Place| connections.reserve(Some(Arc::clone(&place.connection)), half);
        let held = [reserve(&greedy[0]).await.unwrap(), reserve(&greedy[1]).await.unwrap()];
        assert!(reserve(&greedy[0]).await.is_none());
        assert!(!greedy.iter().any(is_closed), "none is slow yet");
        let _other = reserve(&modest).await.unwrap();

        greedy[1].connection.held.lock().unwrap().since.values_mut().for_each(|since| *since -= SLOW_MICROS);
        greedy[0].connection.client.as_ref().unwrap().looked_at.store(0, Ordering::Relaxed);
        assert!(reserve(&greedy[0]).await.is_none());
        assert_eq!(greedy.iter().map(is_closed).collect::<Vec<_>>(), [false, true]);
        drop(held);
        assert!(reserve(&greedy[0]).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn without_memory_the_slowest_connection_of_the_client_with_most_is_closed() {
        let connections = connections(100, 100);
        let share = (MEMORY_KIB_PER_CLIENT - REQUEST_KIB) * 1024;
        let mut held = Vec::new();
        for client in 0..MEMORY_KIB / MEMORY_KIB_PER_CLIENT {
            let client = IpAddr::from([192, 0, 2, u8::try_from(client).unwrap()]);
            let place = place(&connections, client, false).unwrap();
            let memory = connections.reserve(Some(Arc::clone(&place.connection)), share).await.unwrap();
            held.push((place, Some(memory)));
        }
        held[3].0.connection.held.lock().unwrap().since.values_mut().for_each(|since| *since -= 2 * SLOW_MICROS);
        let other = place(&connections, address("198.51.100.1"), false).unwrap();
        let reserve = connections.reserve(Some(Arc::clone(&other.connection)), 1000);
        let close = async {
            held[3].0.connection.closed().await;
            held[3].1 = None;
        };
        let (memory, ()) = tokio::join!(reserve, close);
        assert!(memory.is_some());
        assert!(!held.iter().any(|(place, _)| is_closed(place)), "no other");
    }

    #[test]
    fn none_is_accepted_while_too_many_that_were_closed_have_not_ended() {
        use futures_util::FutureExt as _;
        let connections = connections(1, 1);
        let mut places: Vec<Place> =
            (0..=MAX_ENDING).map(|_| place(&connections, address("192.0.2.1"), false).unwrap()).collect();
        assert!(connections.place(address("192.0.2.1"), false).now_or_never().is_none());
        assert!(place(&connections, address("10.0.0.1"), true).is_some(), "a trusted proxy does not wait");
        places.pop();
        assert!(connections.place(address("192.0.2.1"), false).now_or_never().is_some());
    }
}

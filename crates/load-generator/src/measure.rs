//! The measurements.

use std::{
    collections::VecDeque,
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use ed25519_dalek::Signature;
use mio::{Events, Interest, Poll, Token, net::TcpStream};

use crate::{
    arguments::Arguments,
    clock,
    connection::{Answer, Connection, Response},
    keys::make_keys,
    requests::Requests,
};

/// Returns how many signatures a second the library verifies, with many keys and messages of the usual length.
pub(crate) fn verify_bare(arguments: &Arguments) -> Result<f64, String> {
    let signed: Vec<_> = make_keys(arguments.keys)
        .iter()
        .enumerate()
        .map(|(number, key)| {
            let message = format!("{number:0>300}").into_bytes();
            let signature = Signature::from_bytes(&key.sign(&message));
            (key.verifying(), message, signature)
        })
        .collect();
    let began = clock::now();
    let mut verified = 0_u32;
    loop {
        for (key, message, signature) in &signed {
            key.verify_strict(black_box(message), black_box(signature)).map_err(|error| error.to_string())?;
            verified += 1;
            if verified.is_multiple_of(64) && began.elapsed().as_secs_f64() >= arguments.seconds {
                return Ok(f64::from(verified) / began.elapsed().as_secs_f64());
            }
        }
    }
}

/// The times of the responses.
#[derive(Default)]
struct Counted {
    ok: Vec<Duration>,
    /// Those of the refusals that say when to send the request again.
    later: Vec<Duration>,
    other: u32,
}

impl Counted {
    fn count(&mut self, answer: Answer, took: Duration) {
        match answer {
            Answer::Ok => self.ok.push(took),
            Answer::Later(_) => self.later.push(took),
            Answer::Other => self.other += 1,
        }
    }
}

/// Returns a quantile of the times in microseconds.
fn quantile(times: &mut [Duration], per_mille: usize) -> u128 {
    times.sort_unstable();
    let at = (times.len() * per_mille / 1000).min(times.len().saturating_sub(1));
    times.get(at).map_or(0, Duration::as_micros)
}

/// Sends requests for the given time, and returns a line of JSON.
pub(crate) fn send_requests(arguments: &Arguments) -> Result<String, String> {
    let mut requests = Requests::new(arguments)?;
    requests.prepare(arguments.signed);
    let text = |error: std::io::Error| error.to_string();
    let mut poll = Poll::new().map_err(text)?;
    let mut connections = Vec::new();
    for number in 0..arguments.connections {
        let mut connection = connect(arguments, number)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut connection.stream, Token(number), interest).map_err(text)?;
        connections.push(connection);
    }
    let mut idle: Vec<usize> = (0..connections.len()).collect();
    let mut events = Events::with_capacity(1024);
    let mut counted = Counted::default();
    let began = clock::now();
    let measured = began + Duration::from_secs_f64(arguments.warm_up);
    let end = measured + Duration::from_secs_f64(arguments.seconds);
    let (mut sent, mut held_back, mut before) = (0_u32, 0_u32, (0_u32, 0_u32));
    // The connections that were asked to wait, and until when. The server asks each for the same time.
    let mut resting: VecDeque<(Instant, usize)> = VecDeque::new();
    loop {
        let now = clock::now();
        if now >= end {
            break;
        }
        if now < measured {
            before = (sent, held_back);
        }
        while let Some((_, number)) = resting.pop_front_if(|(until, _)| *until <= now) {
            idle.push(number);
        }
        while let Some(due) = due(arguments, began, sent + held_back, now) {
            let Some(number) = idle.pop() else {
                if resting.is_empty() || arguments.rate <= 0.0 {
                    break;
                }
                held_back += 1;
                continue;
            };
            let Some(connection) = connections.get_mut(number) else { break };
            connection.send(requests.next(), due).map_err(text)?;
            sent += 1;
        }
        let wait = match next_due(arguments, began, sent + held_back) {
            // Waiting is exact to a millisecond only. It would round up.
            Some(due) => {
                Duration::from_millis(u64::try_from(due.saturating_duration_since(now).as_millis()).unwrap_or(0))
            }
            None => Duration::from_millis(100),
        };
        poll.poll(&mut events, Some(wait)).map_err(text)?;
        for event in &events {
            let number = event.token().0;
            let Some(connection) = connections.get_mut(number) else { continue };
            if event.is_writable() {
                connection.flush().map_err(text)?;
            }
            if !event.is_readable() {
                continue;
            }
            let Response::Complete(answer) = connection.receive().map_err(text)? else { continue };
            let now = clock::now();
            if now >= end {
                continue;
            }
            if now >= measured {
                counted.count(answer, now - connection.due);
            }
            if let Answer::Later(seconds) = answer
                && arguments.obeys_retry_after
            {
                resting.push_back((now + Duration::from_secs(seconds.into()), number));
            } else if arguments.rate > 0.0 {
                idle.push(number);
            } else {
                connection.send(requests.next(), now).map_err(text)?;
                sent += 1;
            }
        }
    }
    let (sent, held_back) = (sent - before.0, held_back - before.1);
    let Counted { mut ok, mut later, other } = counted;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let rate = (ok.len() + later.len() + other as usize) as f64 / arguments.seconds;
    Ok(format!(
        "{{\"rate\": {rate:.1}, \"sent\": {sent}, \"held_back\": {held_back}, \"refused\": {}, \"p50_micros\": {}, \"p99_micros\": {}, \"later\": {}, \
         \"later_p50_micros\": {}, \"later_p99_micros\": {}}}",
        later.len() + other as usize,
        quantile(&mut ok, 500),
        quantile(&mut ok, 990),
        later.len(),
        quantile(&mut later, 500),
        quantile(&mut later, 990)
    ))
}

/// Returns when the next request is due, or `None` if each connection always has one.
fn next_due(arguments: &Arguments, began: Instant, sent: u32) -> Option<Instant> {
    (arguments.rate > 0.0).then(|| began + Duration::from_secs_f64(f64::from(sent) / arguments.rate))
}

/// Returns when the next request is due, if that is now.
fn due(arguments: &Arguments, began: Instant, sent: u32, now: Instant) -> Option<Instant> {
    next_due(arguments, began, sent).map_or(Some(now), |due| (due <= now).then_some(due))
}

/// Opens a connection with this number, from one of the sources in turn.
fn connect(arguments: &Arguments, number: usize) -> Result<Connection, String> {
    let mut source = arguments.source;
    if let IpAddr::V4(first) = source.ip() {
        let next = u32::try_from(number % arguments.sources).unwrap_or(0);
        source.set_ip(Ipv4Addr::from_bits(first.to_bits().wrapping_add(next)).into());
    }
    // The standard library cannot bind a socket before it connects. Addresses of 127.0.0.0/8 need no interface.
    let socket = socket2::Socket::new(socket2::Domain::for_address(arguments.address), socket2::Type::STREAM, None);
    let connected = socket.and_then(|socket| {
        socket.bind(&source.into())?;
        socket.connect(&arguments.address.into())?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        Ok(TcpStream::from_std(socket.into()))
    });
    let stream = connected.map_err(|error| format!("no connection to {}: {error}", arguments.address))?;
    Ok(Connection::new(stream, clock::now()))
}

//! The measurements.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use ed25519_dalek::Signature;
use mio::{Events, Interest, Poll, Token, net::TcpStream};

use crate::{
    arguments::Arguments,
    clock,
    connection::{Connection, Response},
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
    times: Vec<Duration>,
    refused: u32,
}

impl Counted {
    /// Returns a quantile of the times in microseconds.
    fn quantile(&self, per_mille: usize) -> u128 {
        let at = (self.times.len() * per_mille / 1000).min(self.times.len().saturating_sub(1));
        self.times.get(at).map_or(0, Duration::as_micros)
    }
}

/// Sends requests for the given time, and returns a line of JSON.
pub(crate) fn send_requests(arguments: &Arguments) -> Result<String, String> {
    let mut requests = Requests::new(arguments)?;
    requests.prepare(arguments.signed);
    let text = |error: std::io::Error| error.to_string();
    let mut poll = Poll::new().map_err(text)?;
    let mut connections = Vec::new();
    for number in 0..arguments.connections {
        let mut connection = connect(arguments)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut connection.stream, Token(number), interest).map_err(text)?;
        connections.push(connection);
    }
    let mut idle: Vec<usize> = (0..connections.len()).collect();
    let mut events = Events::with_capacity(1024);
    let mut counted = Counted::default();
    let began = clock::now();
    let end = began + Duration::from_secs_f64(arguments.seconds);
    let mut sent = 0_u32;
    loop {
        let now = clock::now();
        if now >= end {
            break;
        }
        while let Some(due) = due(arguments, began, sent, now) {
            let Some(number) = idle.pop() else { break };
            let Some(connection) = connections.get_mut(number) else { break };
            connection.send(requests.next(), due).map_err(text)?;
            sent += 1;
        }
        let wait = if arguments.rate > 0.0 { Duration::ZERO } else { Duration::from_millis(100) };
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
            let Response::Complete { is_ok } = connection.receive().map_err(text)? else { continue };
            let now = clock::now();
            if now >= end {
                continue;
            }
            counted.times.push(now - connection.due);
            counted.refused += u32::from(!is_ok);
            if arguments.rate > 0.0 {
                idle.push(number);
            } else {
                connection.send(requests.next(), now).map_err(text)?;
                sent += 1;
            }
        }
    }
    counted.times.sort_unstable();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let rate = counted.times.len() as f64 / arguments.seconds;
    Ok(format!(
        "{{\"rate\": {rate:.1}, \"refused\": {}, \"p50_micros\": {}, \"p99_micros\": {}}}",
        counted.refused,
        counted.quantile(500),
        counted.quantile(990)
    ))
}

/// Returns when the next request is due, if that is now.
fn due(arguments: &Arguments, began: Instant, sent: u32, now: Instant) -> Option<Instant> {
    if arguments.rate <= 0.0 {
        return Some(now);
    }
    let due = began + Duration::from_secs_f64(f64::from(sent) / arguments.rate);
    (due <= now).then_some(due)
}

fn connect(arguments: &Arguments) -> Result<Connection, String> {
    // The standard library cannot bind a socket before it connects. Addresses of 127.0.0.0/8 need no interface.
    let socket = socket2::Socket::new(socket2::Domain::for_address(arguments.address), socket2::Type::STREAM, None);
    let connected = socket.and_then(|socket| {
        socket.bind(&arguments.source.into())?;
        socket.connect(&arguments.address.into())?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        Ok(TcpStream::from_std(socket.into()))
    });
    let stream = connected.map_err(|error| format!("no connection to {}: {error}", arguments.address))?;
    Ok(Connection::new(stream, clock::now()))
}

//! The listener: hosts, limits, TLS.

mod hosts;
mod listener;
mod load_shedding;
mod overload;
mod rate_limit;
mod stop;
mod tls;

//! Plain HTTP/1.1 straight to a server, over connections that the calls themselves drive.
//!
//! A model server on this machine, a gateway, a sidecar: there a call costs so little that a task for
//! each connection, woken for each piece of an answer, is a good part of it. Here the call that uses a
//! connection polls it; between calls nobody does. So there is no task for a connection and no waking from
//! one task to another.
//!
//! What it leaves to hyper-util: TLS (ALPN may choose HTTP/2, whose connections are shared), HTTP/2 by prior
//! knowledge, proxies, upgrades and CONNECT.
//!
//! What follows from it:
//! - A request body goes out while the response's future or body is polled, and not between.
//! - A call that finds no idle connection makes its own, and does not wait for one that comes free.
//! - An idle connection that the server has closed is noticed by the next call, which takes another, or by
//!   the [`reaper`] within seconds.

mod exchange;
mod host;
mod link;
mod pool;
mod reaper;

pub(crate) use self::{
    exchange::{complete, exchange, takes},
    host::{Host, Limits},
    link::Lease,
    pool::Pool,
};

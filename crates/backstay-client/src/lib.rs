#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod body;
mod builder;
mod client;
mod connect;
mod connection;
mod direct;
mod error;
mod future;
mod loopback;
mod proxy;
mod tls;

pub use self::{
    body::ResponseBody,
    builder::{BuildError, Builder},
    client::Client,
    connection::ConnectionReuse,
    error::{Error, ErrorKind},
    future::ResponseFuture,
    proxy::Proxy,
};

/// The error of tower's layers: anything in a box.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

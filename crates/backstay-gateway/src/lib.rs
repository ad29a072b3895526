//! The backstay stack as a loopback HTTP server, for every SDK in every language that only takes a base
//! URL.

mod call;
pub mod config;
mod drain;
mod front;
mod gateway;
mod refusal;
mod routes;
mod server;
mod shared;
mod trails;

pub use self::{
    config::{Config, ConfigError},
    drain::DrainReport,
    gateway::{Gateway, Handle, StartError},
};

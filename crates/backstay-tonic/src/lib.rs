#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod channels;
mod code;
mod dialect;
mod methods;
mod replay;
mod status;
mod wire;

pub mod attempt;
pub mod call;
pub mod server;

pub use self::{
    attempt::GrpcAttemptLayer,
    call::GrpcCallLayer,
    channels::{Channels, ChannelsFuture, OriginError},
    dialect::Grpc,
    methods::{Methods, MethodsError},
    replay::ReplayBody,
    server::GrpcServerLayer,
    status::{status_of, trail_of},
    wire::{format_grpc_timeout, parse_grpc_timeout},
};

//! The full stack under a generated client.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use backstay::{
    ServiceBuilderExt, Timeouts,
    cancel::{CancelLayer, Why},
    fallback::{Backoff, Target, Targets},
};
use backstay_tonic::{Channels, Grpc, GrpcAttemptLayer, GrpcCallLayer, Methods};
use http::{Request, Response};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::time::Duration;
use tokio_util::sync::CancellationToken;
use tonic::{
    Status,
    body::Body,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tower::{ServiceBuilder, ServiceExt, util::BoxCloneSyncService};

pub(crate) type Transport = BoxCloneSyncService<Request<Body>, Response<Body>, Status>;
pub(crate) type Client = HealthClient<Transport>;

pub(crate) const CHECK: &str = "grpc.health.v1.Health/Check";
pub(crate) const WATCH: &str = "grpc.health.v1.Health/Watch";

/// What a test can turn.
pub(crate) struct Stack {
    pub(crate) methods: Methods,
    pub(crate) budget: Duration,
    pub(crate) retries: u32,
    pub(crate) timeouts: Timeouts,
    pub(crate) token: CancellationToken,
    pub(crate) ends: Arc<Mutex<Vec<Why>>>,
    pub(crate) hold_bytes: usize,
    pub(crate) change: fn(Targets) -> Targets,
}

impl Default for Stack {
    fn default() -> Self {
        Self {
            methods: Methods::new().unary(CHECK),
            budget: Duration::from_secs(30),
            retries: 2,
            timeouts: Timeouts::new(),
            token: CancellationToken::new(),
            ends: Arc::default(),
            hold_bytes: 4096,
            change: |targets| targets,
        }
    }
}

impl Stack {
    /// A client of the first origin, with the others as fallbacks.
    pub(crate) fn client(&self, origins: &[String]) -> Client {
        HealthClient::new(self.transport(origins))
    }

    pub(crate) fn transport(&self, origins: &[String]) -> Transport {
        let mut channels = Channels::new(channel(&origins[0]));
        let mut targets = Targets::new(Target::named("first").dialect(Grpc))
            .retries(self.retries)
            .backoff(Backoff::new(
                Duration::from_millis(1),
                Duration::from_millis(5),
            ));
        for (at, origin) in origins.iter().enumerate().skip(1) {
            channels = channels.and(origin, channel(origin)).unwrap();
            targets = targets.then(
                Target::named(format!("target {at}"))
                    .dialect(Grpc)
                    .origin(origin),
            );
        }
        let ends = self.ends.clone();
        let cancel = CancelLayer::new()
            .token(self.token.clone())
            .observe(move |ended| ends.lock().push(ended.why));
        let stack = ServiceBuilder::new()
            .layer(GrpcCallLayer::new(self.methods.clone()).unwrap())
            .layer(cancel)
            .deadline(self.budget)
            .unwrap()
            .fallback((self.change)(targets))
            .unwrap()
            .layer(GrpcAttemptLayer::new().hold_bytes(self.hold_bytes).unwrap())
            .timeouts(self.timeouts)
            .unwrap()
            .service(channels);
        BoxCloneSyncService::new(stack.map_response(|response| response.map(Body::new)))
    }

    /// How calls ended so far.
    pub(crate) fn ends(&self) -> Vec<Why> {
        self.ends.lock().clone()
    }
}

pub(crate) fn channel(origin: &str) -> Channel {
    Endpoint::from_shared(origin.to_owned())
        .unwrap()
        .connect_lazy()
}

pub(crate) fn ask() -> HealthCheckRequest {
    HealthCheckRequest {
        service: "any".into(),
    }
}

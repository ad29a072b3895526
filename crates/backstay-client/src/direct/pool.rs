//! All hosts that a client speaks to in this way.

use super::{
    host::{Host, Limits},
    link::Link,
};
use crate::{BoxError, Error, connect::Connector, connect::with_limit};
use http::{Uri, uri::Authority};
use http_body::Body;
use hyper::client::conn::http1;
use parking_lot::{Mutex, MutexGuard};
use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicBool},
};
use tokio::time::Duration;
use tower_service::Service;

/// The connections of one client, by authority as it is written in the request's URI.
pub(crate) struct Pool<B> {
    connector: Connector,
    limits: Limits,
    hosts: Mutex<Hosts<B>>,
    /// Whether a reaper looks through them.
    watched: Arc<AtomicBool>,
}

pub(super) type Hosts<B> = HashMap<Box<str>, Arc<Host<B>>>;

// === impl Pool ===

impl<B> Pool<B> {
    pub(crate) fn new(connector: Connector, limits: Limits) -> Self {
        Self {
            connector,
            limits,
            hosts: Mutex::default(),
            watched: Arc::default(),
        }
    }

    /// The host of an authority that [`Pool::insert`] has seen.
    pub(crate) fn find(&self, authority: &Authority) -> Option<Arc<Host<B>>> {
        self.hosts().get(authority.as_str()).map(Arc::clone)
    }

    /// From here on [`Pool::find`] finds it: who calls has judged that this is the way to it.
    pub(crate) fn insert(&self, authority: &Authority) -> Arc<Host<B>> {
        let mut hosts = self.hosts();
        let host = hosts
            .entry(authority.as_str().into())
            .or_insert_with(|| Arc::new(Host::new(authority, self.limits)));
        Arc::clone(host)
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    pub(super) fn watched(&self) -> &Arc<AtomicBool> {
        &self.watched
    }

    pub(super) fn hosts(&self) -> MutexGuard<'_, Hosts<B>> {
        self.hosts.lock()
    }
}

impl<B> Pool<B>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    /// A new connection. Everything that it takes is under `limit`, or under the client's connect clock.
    ///
    /// The caller has started the reaper: a connection that nobody looks at when it is idle is never closed.
    pub(super) async fn connect(
        &self,
        host: &Arc<Host<B>>,
        limit: Option<Duration>,
    ) -> Result<Box<Link<B>>, Error> {
        let destination: Uri = host.uri().clone();
        let connecting = with_limit(limit, || self.connector.clone().call(destination));
        let stream = connecting.await.map_err(Error::connect)?;
        let (send, connection) = http1::handshake(stream)
            .await
            .map_err(|error| Error::connect(error.into()))?;
        Ok(Box::new(Link::new(send, connection, Arc::downgrade(host))))
    }
}

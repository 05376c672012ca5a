//! Connections: accepted, served, and ended.
//!
//! In: a port, and a signal to end. Out: what was left undone. Does I/O. To end: `/readyz` turns 503; after `drain-ms` no connection is
//! accepted; requests are finished and idle connections closed, then the producers deliver what they hold, all within `shutdown-ms`. What
//! does not end by then is cut. Hands are shaken (`https`) in a connection's own task, so that nobody holds up others.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{Method, header::AUTHORIZATION},
};
use http_body_util::Either;
use hyper::{
    body::{Body as _, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
    service::TowerToHyperService,
};
use milena::FlushError;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{Instant, sleep, timeout_at},
};

use crate::{
    answer::{self, Answer},
    bare::Bodied,
    gateway::Gateway,
    metrics::Route,
    patient::Patient,
    problem::{Kind, Problem},
    rate::{self, Permit},
    routes::{SEND, router, send},
};

/// The pause after a connection could not be accepted, mostly because the process has no more files.
const PAUSE: Duration = Duration::from_millis(50);
/// The header in which proxies name their clients.
const FORWARDED_FOR: &str = "x-forwarded-for";
/// The most bytes of a request's head.
const MAX_HEAD: usize = 64 * 1024;

/// A gateway with a port.
#[derive(Debug)]
pub struct Server {
    gateway: Arc<Gateway>,
    listener: TcpListener,
    #[cfg(feature = "tls")]
    https: Option<crate::Https>,
}

/// How a server ended.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Ended {
    /// How many connections were cut because `shutdown-ms` had passed.
    pub cut: usize,
    /// Why a producer did not deliver all that it held, if one did not.
    pub undelivered: Option<FlushError>,
}

impl Server {
    /// Opens the port.
    ///
    /// # Errors
    /// The system's, if the port cannot be opened.
    ///
    /// # Cancel safety
    /// If the future is dropped, no port stays open.
    pub async fn bind(gateway: Gateway) -> io::Result<Self> {
        let (host, port) = (gateway.config().host.as_str(), gateway.config().port);
        let listener = TcpListener::bind((host, port)).await?;
        Ok(Self {
            gateway: Arc::new(gateway),
            listener,
            #[cfg(feature = "tls")]
            https: None,
        })
    }

    /// The server with HTTPS in place of HTTP, if there is any.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_https(self, https: Option<crate::Https>) -> Self {
        Self { https, ..self }
    }

    /// The address that it listens at.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` resolves, and ends as the module says.
    ///
    /// # Cancel safety
    /// If the future is dropped, its connections are cut.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Ended {
        #[cfg(feature = "tls")]
        let mut connections = Connections { https: self.https, ..Connections::new(&self.gateway) };
        #[cfg(not(feature = "tls"))]
        let mut connections = Connections::new(&self.gateway);
        let (gateway, listener) = (self.gateway, self.listener);
        let drained = async {
            stop.await;
            gateway.drain();
            sleep(gateway.config().drain).await;
        };
        tokio::select! {
            biased;
            () = drained => {}
            () = connections.accept_all(&listener) => {}
        }
        drop(listener);
        let deadline = Instant::now() + gateway.config().shutdown;
        let cut = connections.end(deadline).await;
        let undelivered = gateway.close(deadline).await.err();
        Ended { cut, undelivered }
    }
}

/// The connections of a server.
struct Connections {
    gateway: Arc<Gateway>,
    router: Router,
    http: http1::Builder,
    graceful: GracefulShutdown,
    places: Arc<Semaphore>,
    tasks: JoinSet<()>,
    #[cfg(feature = "tls")]
    https: Option<crate::Https>,
}

impl Connections {
    fn new(gateway: &Arc<Gateway>) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(gateway.config().read_timeout).max_buf_size(MAX_HEAD);
        Self {
            gateway: Arc::clone(gateway),
            router: router(Arc::clone(gateway)),
            http,
            graceful: GracefulShutdown::new(),
            places: Arc::new(Semaphore::new(gateway.config().max_connections.min(Semaphore::MAX_PERMITS))),
            tasks: JoinSet::new(),
            #[cfg(feature = "tls")]
            https: None,
        }
    }

    /// Never returns: the semaphore is never closed.
    async fn accept_all(&mut self, listener: &TcpListener) {
        while let Ok(place) = Arc::clone(&self.places).acquire_owned().await {
            while self.tasks.try_join_next().is_some() {}
            match listener.accept().await {
                Ok((stream, peer)) => self.serve(stream, peer.ip(), place),
                Err(error) => {
                    tracing::warn!(%error, "no connection can be accepted; trying again");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    fn serve(&mut self, stream: TcpStream, peer: IpAddr, place: OwnedSemaphorePermit) {
        // Answers are small and wait for nothing; if it cannot be set, they are a little later.
        let _ = stream.set_nodelay(true);
        let talk = Talk {
            gateway: Arc::clone(&self.gateway),
            routes: TowerToHyperService::new(self.router.clone()),
            http: self.http.clone(),
            watcher: self.graceful.watcher(),
            peer,
        };
        #[cfg(feature = "tls")]
        if let Some(https) = self.https.clone() {
            let within = self.gateway.config().read_timeout;
            return self.spawn(place, async move {
                if let Some(stream) = https.accept(stream, within).await {
                    talk.over(stream).await;
                }
            });
        }
        self.spawn(place, talk.over(stream));
    }

    fn spawn(&mut self, place: OwnedSemaphorePermit, connection: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(async move {
            connection.await;
            drop(place);
        });
    }

    /// Closes idle connections and waits for the others. Returns how many were cut.
    async fn end(self, deadline: Instant) -> usize {
        let Self { graceful, places, mut tasks, gateway, .. } = self;
        let most = gateway.config().max_connections.min(Semaphore::MAX_PERMITS);
        if timeout_at(deadline, graceful.shutdown()).await.is_ok() {
            return 0;
        }
        let open = most.saturating_sub(places.available_permits());
        tasks.shutdown().await;
        open
    }
}

/// What a connection needs to be served.
struct Talk {
    gateway: Arc<Gateway>,
    routes: TowerToHyperService<Router>,
    http: http1::Builder,
    watcher: Watcher,
    peer: IpAddr,
}

impl Talk {
    async fn over(self, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
        let Self { gateway, routes, http, watcher, peer } = self;
        let stream = Patient::new(stream, gateway.config().write_timeout);
        let unread = Arc::clone(&gateway);
        let stream = Bodied::new(stream, move |status| answer_to_none(&unread, status));
        let service = service_fn(move |request| answer_one(Arc::clone(&gateway), routes.clone(), peer, request));
        if let Err(error) = watcher.watch(http.serve_connection(TokioIo::new(stream), service)).await {
            tracing::debug!(%error, "a connection ended");
        }
    }
}

/// The body of the answer to what cannot be read as a request, and counts it. The status is hyper's.
fn answer_to_none(gateway: &Gateway, status: u16) -> Option<Vec<u8>> {
    let (kind, why) = match status {
        400 => {
            (Kind::BadRequest, "expected a request of HTTP/1.1, got other bytes, or lengths that contradict each other")
        }
        414 => (Kind::LongPath, "ask with a shorter path and query"),
        431 => (Kind::LongHead, "expected at most 100 headers, and a head of at most 64 KiB"),
        _ => return None,
    };
    gateway.http().count(Route::Other, status, Duration::ZERO);
    serde_json::to_vec(&Problem::new(kind, why).of(gateway.new_id())).ok()
}

/// Answers a request, counts it, and logs it without what it sends.
async fn answer_one(
    gateway: Arc<Gateway>,
    routes: TowerToHyperService<Router>,
    peer: IpAddr,
    request: hyper::Request<Incoming>,
) -> Result<Answer, std::convert::Infallible> {
    let started = Instant::now();
    let route = Route::of(request.uri().path());
    let access = tracing::enabled!(target: "milena_gateway::access", tracing::Level::INFO)
        .then(|| (request.method().clone(), request.uri().path().to_owned()));
    let authorization = request.headers().get(AUTHORIZATION).map(|value| value.as_bytes());
    let response = if gateway.admits(request.uri().path(), authorization) {
        within_limits(&gateway, routes, peer, request).await?
    } else {
        let why = "expected the header Authorization with Bearer and a token of this gateway";
        answer::problem(&Problem::new(Kind::Unauthorized, why).of(gateway.new_id()))
    };
    let (status, took) = (response.status().as_u16(), started.elapsed());
    gateway.http().count(route, status, took);
    if let Some((method, path)) = access {
        tracing::info!(target: "milena_gateway::access", %method, path, status, micros = took.as_micros() as u64, "answered");
    }
    Ok(response)
}

/// Answers a request. Most of them are for one path.
async fn lead(
    gateway: &Arc<Gateway>,
    routes: TowerToHyperService<Router>,
    request: hyper::Request<Incoming>,
) -> Result<Answer, std::convert::Infallible> {
    use hyper::service::Service;
    let request = request.map(|body| if body.is_end_stream() { Body::empty() } else { Body::new(body) });
    if request.method() == Method::POST && request.uri().path() == SEND {
        return Ok(send(State(Arc::clone(gateway)), request).await);
    }
    Ok(routes.call(request).await?.map(Either::Right))
}

/// Answers a request, unless its client has asked too often.
async fn within_limits(
    gateway: &Arc<Gateway>,
    routes: TowerToHyperService<Router>,
    peer: IpAddr,
    request: hyper::Request<Incoming>,
) -> Result<Answer, std::convert::Infallible> {
    if gateway.config().rate_limit.is_none() {
        return lead(gateway, routes, request).await;
    }
    let header = |name| request.headers().get_all(name).iter().next_back().map(|value| value.as_bytes());
    let seen = header(FORWARDED_FOR).filter(|_| gateway.config().trust_forwarded_for).and_then(rate::forwarded);
    let authorization = request.headers().get(AUTHORIZATION).map(|value| value.as_bytes());
    let Some((rate, permit)) = gateway.take(request.uri().path(), authorization, seen.unwrap_or(peer)) else {
        return lead(gateway, routes, request).await;
    };
    let response = match permit {
        Permit::Granted(_) => lead(gateway, routes, request).await?,
        Permit::Wait(_) => {
            let why = format!("each client may send {} requests a second, and {} at once", rate.per_second, rate.burst);
            answer::problem(&Problem::new(Kind::TooOften, why).of(gateway.new_id()))
        }
    };
    Ok(answer::limited(response, rate, permit))
}

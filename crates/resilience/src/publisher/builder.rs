//! The settings of a publisher, and how it starts.
//!
//! In: settings. Out: a [`ResilientPublisher`] whose relay runs. Awaits the store.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use milena::Produce;
use tokio::sync::watch;

use super::{
    ResilientPublisher, Settings, Shared,
    keys::Keys,
    probe::{LastFailed, Prober},
    recount::keep_counting,
    stats::Counters,
};
use crate::{
    breaker::{Breaker, BreakerConfig, BreakerState, InvalidBreakerConfig, log},
    clock::now,
    event::{Format, KeyWatch},
    gate::Gate,
    peers::Peers,
    reconcile::Lookup,
    relay::{Alert, Job, Observer, RelayConfig, Wake},
    store::{SlotCounts, Store, StoreError},
};

/// Whether an event is published before it is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It is published first, and stored if that fails.
    #[default]
    OnFailure,
    /// It is stored first, and removed when it is published.
    WriteAhead,
}

/// Which events are published in the order of the calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Those of one topic and key. If several publishers share the store ([`Store::is_shared`]), it holds between all of them that have this
    /// order: once one says that an event is stored, the later ones of its key go behind it, whichever publisher is called.
    ///
    /// Then an event that cannot be published directly without asking the store waits for the store's answer, and if the store cannot be asked,
    /// the event goes there. So **while such a store is out of reach, events are handed back**, though Kafka may be well.
    #[default]
    PerKey,
    /// Those of one topic and key that this publisher publishes. The store is not asked. While it is out of reach, events are published as long as
    /// Kafka takes them. But an event can overtake an older one of its key that another publisher has stored.
    PerKeyOfInstance,
    /// None.
    None,
}

/// Why a publisher could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The circuit breaker's configuration is invalid.
    #[error(transparent)]
    Breaker(#[from] InvalidBreakerConfig),
    /// The store cannot be read.
    #[error("the store cannot be read: {0}")]
    Store(#[from] StoreError),
}

/// Builds a [`ResilientPublisher`].
pub struct ResilientPublisherBuilder {
    producer: Arc<dyn Produce>,
    store: Arc<dyn Store>,
    breaker: BreakerConfig,
    relay: RelayConfig,
    settings: Settings,
    alert: Box<dyn Fn(&Alert) + Send + Sync>,
    owner: String,
    keys: KeyWatch,
    lookup: Option<Arc<dyn Lookup>>,
}

impl fmt::Debug for ResilientPublisherBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResilientPublisherBuilder").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl ResilientPublisherBuilder {
    pub(super) fn new(producer: Arc<dyn Produce>, store: Arc<dyn Store>) -> Self {
        let settings = Settings {
            mode: Mode::OnFailure,
            order: Order::PerKey,
            format: Format::Json,
            store_failures: true,
            order_wait: Duration::from_millis(100),
            hold: Duration::from_secs(180),
        };
        // In containers, the ids of processes are alike.
        let owner = format!("process {} {}", std::process::id(), uuid::Uuid::now_v7());
        let (breaker, relay) = (BreakerConfig::failure_rate(50.0), RelayConfig::default());
        let (alert, keys) = (Box::new(|_: &Alert| ()), KeyWatch::new());
        Self { producer, store, breaker, relay, settings, alert, owner, keys, lookup: None }
    }

    /// Sets the mode. Defaults to [`Mode::OnFailure`].
    #[must_use]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.settings.mode = mode;
        self
    }

    /// Sets which events keep their order. Defaults to [`Order::PerKey`].
    #[must_use]
    pub fn order(mut self, order: Order) -> Self {
        self.settings.order = order;
        self.relay.in_order = order != Order::None;
        self
    }

    /// Sets how events become records. Defaults to [`Format::Json`].
    #[must_use]
    pub fn format(mut self, format: Format) -> Self {
        self.settings.format = format;
        self
    }

    /// Sets whether events that cannot be published are stored. Defaults to yes. With no, they are handed back, counted and logged;
    /// a warning at the start says so.
    #[must_use]
    pub fn store_failures(mut self, store: bool) -> Self {
        self.settings.store_failures = store;
        self
    }

    /// Sets how long an event waits for an older one of its key that is on its way, before both are stored. Defaults to 100 ms.
    #[must_use]
    pub fn order_wait(mut self, wait: Duration) -> Self {
        self.settings.order_wait = wait;
        self
    }

    /// Sets for how long the relay leaves an event alone that the publisher stored and is sending itself. It should be longer than the
    /// producer takes for an outcome (`max.block.ms` and `delivery.timeout.ms`). Defaults to 3 minutes. A process that is stopped for so long after it
    /// wrote an event ahead leaves it to the relay ([`Why::Overdue`](super::Why::Overdue)).
    #[must_use]
    pub fn hold(mut self, hold: Duration) -> Self {
        self.settings.hold = hold;
        self
    }

    /// Sets the circuit breaker. Defaults to [`BreakerConfig::failure_rate(50.0)`](BreakerConfig::failure_rate).
    #[must_use]
    pub fn breaker(mut self, config: BreakerConfig) -> Self {
        self.breaker = config;
        self
    }

    /// Sets how the relay works.
    #[must_use]
    pub fn relay(mut self, config: RelayConfig) -> Self {
        self.relay = RelayConfig { in_order: self.settings.order != Order::None, ..config };
        self
    }

    /// Calls `alert` with what an operator has to know at once. It is logged at `ERROR`, too.
    #[must_use]
    pub fn alert(mut self, alert: impl Fn(&Alert) + Send + Sync + 'static) -> Self {
        self.alert = Box::new(alert);
        self
    }

    /// Sets how keys are watched. A warning says, once for a topic, that its keys look random. Defaults to [`KeyWatch::new`], which watches every
    /// topic, 20,000 events each [interval](RelayConfig::interval).
    #[must_use]
    pub fn key_watch(mut self, watch: KeyWatch) -> Self {
        self.keys = watch;
        self
    }

    /// Has the relay look whether an event that may have been sent was written, before it sends it again. By default it does not look, and flags
    /// what it sends.
    #[must_use]
    pub fn reconcile(mut self, lookup: impl Lookup + 'static) -> Self {
        self.lookup = Some(Arc::new(lookup));
        self
    }

    /// Sets the name under which this instance has leases. No other instance may have it: they would be taken for one, and get one share
    /// of the work. Defaults to the process's id and a part that is unique.
    #[must_use]
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.owner = owner.into();
        self
    }

    /// Reads which keys have stored events, unless the store is asked for each event ([`Order::PerKey`]), and starts the relay.
    ///
    /// # Errors
    /// The breaker's configuration is invalid, or the store cannot be read.
    ///
    /// # Panics
    /// If it is called outside of a tokio runtime.
    pub async fn start(self) -> Result<ResilientPublisher, StartError> {
        let Self { producer, store, breaker, relay, settings, alert, owner, keys, lookup } = self;
        let wake = Arc::new(Wake::default());
        let breaker = observed(breaker, &wake)?;
        let is_shared = store.is_shared();
        let asks = is_shared && settings.order == Order::PerKey;
        let peers = asks.then(|| Peers::start(&store, settings.mode == Mode::OnFailure, Arc::clone(&wake)));
        let stored = if asks { SlotCounts::new() } else { store.slots().await? };
        let gate = Gate::new(&stored).shared(is_shared);
        if !settings.store_failures {
            tracing::warn!(
                "store_failures is off: events that cannot be published are handed back, and lost if they are dropped"
            );
        }
        let (observer, keys) = (Arc::new(Observer::new(alert)), Arc::new(Keys::new(keys)));
        let (stop, stopped) = watch::channel(false);
        let counting =
            keep_counting(gate.clone(), Arc::clone(&store), Arc::clone(&keys), relay.interval, stopped.clone());
        crate::task::spawn(counting);
        let counters = Counters::default();
        let failed = Arc::new(LastFailed::default());
        let prober = Prober {
            breaker: breaker.clone(),
            producer: Arc::clone(&producer),
            gate: gate.clone(),
            failed: Arc::clone(&failed),
        };
        crate::task::spawn(prober.run(stopped.clone()));
        let job = Job {
            producer: Arc::clone(&producer),
            store: Arc::clone(&store),
            breaker: breaker.clone(),
            gate: gate.clone(),
            config: relay,
            observer: Arc::clone(&observer),
            lookup,
            fresh: Arc::clone(&counters.fresh),
            wake: Arc::clone(&wake),
        };
        let relay = Mutex::new(Some(crate::task::spawn(job.run(owner, stopped))));
        let shared = Shared {
            producer,
            store,
            breaker,
            gate,
            peers,
            observer,
            counters,
            failed,
            keys,
            wake,
            settings,
            stop,
            relay,
        };
        Ok(ResilientPublisher(Arc::new(shared)))
    }
}

/// A breaker that wakes the relay when it closes, or lets calls try.
fn observed(config: BreakerConfig, wake: &Arc<Wake>) -> Result<Breaker, InvalidBreakerConfig> {
    let wake = Arc::clone(wake);
    Breaker::observed_by(config, now(), move |transition| {
        log(transition);
        if transition.to != BreakerState::Open {
            wake.wake();
        }
    })
}

//! Keeps a connection: opens it when it is needed, and again when it was lost.
//!
//! In: a connection string, a TLS connector. Out: sessions. While the server is down, one call after the other does not try to connect:
//! after a failure, all fail at once until a backoff is over.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::{
    sync::Mutex,
    task::AbortHandle,
    time::{Instant, timeout},
};
use tokio_postgres::{Client, Config, Error, Socket, tls::MakeTlsConnect};

use super::{errors, home::Home, options::Options, schema::quoted, session::Session};
use crate::store::{StoreError, StoreErrorKind};

const SHORTEST_BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);

/// How connections are opened.
#[derive(Clone)]
pub(super) struct Connector {
    options: Options,
    #[expect(clippy::type_complexity, reason = "an alias would hide what it is")]
    connect: Arc<dyn Fn() -> BoxFuture<'static, Result<(Client, AbortHandle), StoreError>> + Send + Sync>,
}

impl Connector {
    /// # Errors
    /// The connection string cannot be parsed.
    pub(super) fn new<T>(options: &Options, tls: T, home: Home) -> Result<Self, StoreError>
    where
        T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
        T::TlsConnect: Send,
        T::Stream: Send + 'static,
        <T::TlsConnect as tokio_postgres::tls::TlsConnect<Socket>>::Future: Send,
    {
        // The parser's error would repeat a part of the text, which may be one of the password.
        let mut config: Config = options.secret.parse().map_err(|_| {
            let text = "the connection string cannot be parsed";
            StoreError::new(StoreErrorKind::Refused, text, "expected postgresql://user:password@host/database")
        })?;
        config.connect_timeout(options.connect_timeout);
        if config.get_application_name().is_none() {
            config.application_name("milena-resilience");
        }
        let connect = move || {
            let (config, tls, home) = (config.clone(), tls.clone(), home.clone());
            let its_home = home.clone();
            let connecting = home.spawn(async move {
                let (client, connection) = config.connect(tls).await.map_err(|error| errors::failed(&error))?;
                // Its error is that of the calls as well.
                let task = its_home.spawn(async move { drop(connection.await) });
                Ok((client, task.abort_handle()))
            });
            async move { connecting.await.unwrap_or_else(|_| Err(StoreError::closed())) }.boxed()
        };
        Ok(Self { options: options.clone(), connect: Arc::new(connect) })
    }

    /// Opens a connection that keeps to the time limits, and whose commits are synced.
    async fn connect(&self) -> Result<Session, StoreError> {
        let limit = self.options.connect_timeout;
        let connecting = timeout(limit, (self.connect)()).await;
        let (client, task) = connecting.map_err(|_| errors::silent())??;
        match timeout(limit, prepare(&client, &self.options)).await {
            Ok(Ok(schema)) => Ok(Session::new(client, task, schema)),
            Ok(Err(error)) => Err(error),
            Err(_) => {
                task.abort();
                Err(errors::silent())
            }
        }
    }
}

/// Rows are found by an index, also where the planner has no numbers yet, or old ones; and statements are planned once.
pub(crate) const PLANNING: &str = "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; \
     SET enable_mergejoin = off; SET jit = off; SET plan_cache_mode = force_generic_plan";

/// Sets the session up, and returns the number of its schema. How long it waits and what it syncs is the store's choice, not that of the
/// role's defaults. A stronger `synchronous_commit` stays.
async fn prepare(client: &Client, options: &Options) -> Result<i32, StoreError> {
    let limit = options.timeout.as_millis();
    let mut settings = format!(
        "{PLANNING}; SET statement_timeout = {limit}; SET lock_timeout = {limit}; SET idle_in_transaction_session_timeout = {limit}; \
         SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') <> 'remote_apply'"
    );
    if let Some(schema) = &options.schema {
        settings += &format!("; SET search_path = {}", quoted(schema));
    }
    let failed = |error: Error| errors::failed(&error);
    client.batch_execute(&settings).await.map_err(failed)?;
    if let Some(number) = schema_number(client).await.map_err(failed)? {
        return Ok(number);
    }
    if options.must_exist {
        let text = "there is no store: the database does not have the schema; nothing was created";
        return Err(StoreError::new(StoreErrorKind::Refused, text, "check the database and the schema"));
    }
    if let Some(schema) = &options.schema {
        // If somebody else creates it at the same time, that is as good.
        let created = client.batch_execute(&format!("CREATE SCHEMA {}", quoted(schema))).await;
        if let Some(number) = schema_number(client).await.map_err(failed)? {
            return Ok(number);
        }
        created.map_err(failed)?;
    }
    let text = "the database has no schema to put tables into";
    Err(StoreError::new(StoreErrorKind::Refused, text, "name one by schema, or set the role's search_path"))
}

async fn schema_number(client: &Client) -> Result<Option<i32>, Error> {
    let sql = "SELECT oid FROM pg_namespace WHERE nspname = current_schema()";
    let row = client.query_opt(sql, &[]).await?;
    row.map(|row| row.try_get::<_, u32>(0).map(u32::cast_signed)).transpose()
}

/// One connection, or none.
pub(super) struct Link {
    connector: Connector,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    session: Option<Arc<Session>>,
    failure: Option<Failure>,
}

/// Why the last attempt to connect failed, and when the next one is made.
struct Failure {
    error: StoreError,
    backoff: Duration,
    until: Instant,
}

impl Link {
    pub(super) fn new(connector: Connector) -> Self {
        Self { connector, state: Mutex::default() }
    }

    /// The connection.
    pub(super) async fn session(&self) -> Result<Arc<Session>, StoreError> {
        let mut state = self.state.lock().await;
        if let Some(session) = state.session.as_ref().filter(|session| !session.is_closed()) {
            return Ok(Arc::clone(session));
        }
        if let Some(failure) = state.failure.as_ref().filter(|failure| Instant::now() < failure.until) {
            return Err(failure.error.clone());
        }
        match self.connector.connect().await {
            Ok(session) => {
                let session = Arc::new(session);
                *state = State { session: Some(Arc::clone(&session)), failure: None };
                Ok(session)
            }
            Err(error) => {
                let backoff = longer(state.failure.as_ref().map(|failure| failure.backoff));
                let failure = Failure { error: error.clone(), backoff, until: Instant::now() + backoff };
                *state = State { session: None, failure: Some(failure) };
                Err(error)
            }
        }
    }

    /// Ends the connection, and with it whatever it was in the middle of.
    pub(super) async fn discard(&self, session: &Session) {
        session.abort();
        let mut state = self.state.lock().await;
        if state.session.as_ref().is_some_and(|kept| std::ptr::eq(&**kept, session)) {
            state.session = None;
        }
    }

    /// Ends the connection in good order.
    pub(super) async fn close(&self) {
        self.state.lock().await.session = None;
    }
}

/// The backoff after this one.
fn longer(backoff: Option<Duration>) -> Duration {
    backoff.map_or(SHORTEST_BACKOFF, |backoff| (backoff * 2).min(LONGEST_BACKOFF))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backoff_doubles_up_to_a_second() {
        let mut backoff = None;
        let backoffs = std::iter::repeat_with(|| {
            backoff = Some(longer(backoff));
            longer(backoff).as_millis()
        });
        assert_eq!(backoffs.take(6).collect::<Vec<_>>(), [100, 200, 400, 800, 1_000, 1_000]);
    }
}

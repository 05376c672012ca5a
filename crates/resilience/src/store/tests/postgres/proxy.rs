//! A proxy on loopback that loses connections when a test says so.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use milena_test_support::postgres::{PASSWORD, Postgres};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    sync::Notify,
    task::JoinSet,
};

/// What happens to the next commit, once. Everything else is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// It does not reach the server.
    Before,
    /// The server carries it out, and its answer is lost.
    After,
    /// The client loses the connection, and the server gets it when [`Proxy::let_go`] is called.
    Late,
}

/// What passes between clients and a server.
#[derive(Clone)]
pub(crate) struct Proxy {
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    cut: Mutex<Option<Cut>>,
    is_down: Mutex<bool>,
    /// From the cut on, nobody is let in.
    then_down: Mutex<bool>,
    go: Notify,
    lost: Notify,
}

impl Proxy {
    pub(crate) async fn start(server: &Postgres) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, socket, state) = (listener.local_addr().unwrap().port(), server.socket(), Arc::<State>::default());
        let its_state = Arc::clone(&state);
        tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                if !*its_state.is_down.lock().unwrap() {
                    connections.spawn(pass(client, socket.clone(), Arc::clone(&its_state)));
                }
            }
        });
        Self { port, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("host=127.0.0.1 port={} user=milena password='{PASSWORD}' dbname=postgres", self.port)
    }

    /// Has the next commit end like this.
    pub(crate) fn cut(&self, cut: Cut) {
        *self.state.cut.lock().unwrap() = Some(cut);
    }

    /// As [`cut`](Self::cut), and nobody is let in after that.
    pub(crate) fn cut_for_good(&self, cut: Cut) {
        *self.state.then_down.lock().unwrap() = true;
        self.cut(cut);
    }

    /// Lets nobody in, or everybody again.
    pub(crate) fn set_down(&self, is_down: bool) {
        *self.state.is_down.lock().unwrap() = is_down;
    }

    /// Passes a commit on that is [`Late`](Cut::Late).
    pub(crate) fn let_go(&self) {
        self.state.go.notify_one();
    }

    /// Waits until a connection was lost.
    pub(crate) async fn lost(&self) {
        self.state.lost.notified().await;
    }
}

async fn pass(mut client: TcpStream, socket: PathBuf, state: Arc<State>) {
    let Ok(mut server) = UnixStream::connect(socket).await else { return };
    let (mut sent, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            read = client.read(&mut sent) => {
                let Ok(count @ 1..) = read else { return };
                let message = &sent[..count];
                let is_commit = message.windows(7).any(|bytes| bytes == b"COMMIT\0");
                let cut = if is_commit { state.cut.lock().unwrap().take() } else { None };
                if let Some(cut) = cut {
                    return lose(cut, (client, server), message, &state).await;
                }
                if server.write_all(message).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut answered) => {
                let Ok(count @ 1..) = read else { return };
                if client.write_all(&answered[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn lose(cut: Cut, (client, mut server): (TcpStream, UnixStream), message: &[u8], state: &State) {
    *state.is_down.lock().unwrap() = *state.then_down.lock().unwrap();
    match cut {
        Cut::Before => {}
        Cut::After => {
            server.write_all(message).await.unwrap();
            // By its answer it has happened.
            assert_ne!(server.read(&mut [0; 64]).await.unwrap(), 0);
        }
        Cut::Late => {
            drop(client);
            state.lost.notify_one();
            state.go.notified().await;
            server.write_all(message).await.unwrap();
            assert_ne!(server.read(&mut [0; 64]).await.unwrap(), 0);
            return;
        }
    }
    drop(client);
    state.lost.notify_one();
}

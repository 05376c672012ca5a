//! A service that loses no order without saying so when it is told to stop.
//!
//! At SIGTERM or Ctrl-C it takes no more orders, gives those that were accepted two seconds to be delivered, and reports what
//! was not. `cargo run --example graceful_shutdown` ends after 50 orders, if no signal comes before;
//! `cargo run --example graceful_shutdown 100000` takes longer. `BOOTSTRAP_SERVERS=localhost:9092` before it uses a cluster of yours.

#[path = "support/cluster.rs"]
mod cluster;

use std::{env, error::Error, pin::pin, process::ExitCode, time::Duration};

use cluster::Cluster;
use milena::{DeliveryError, Persisted, Producer, Record};
use tokio::{task::JoinSet, time::sleep};

/// How long deliveries may take after the signal. Less than what the supervisor waits before it kills the process.
const GRACE: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let orders: u32 = env::args().nth(1).map_or(Ok(50), |count| count.parse())?;
    let cluster = Cluster::find_or_start("orders", 3).await?;
    // Also a `send` that waits for memory must not outlast the grace.
    let producer = Producer::builder(cluster.bootstrap_servers()).max_block(GRACE).build().await?;

    let mut outcomes = JoinSet::new();
    let mut failures = Vec::new();
    let mut stop = pin!(stop_signal()?);
    println!("taking orders; Ctrl-C stops it");

    let mut taken = 0;
    while taken < orders {
        tokio::select! {
            biased;
            () = &mut stop => break,
            // Outcomes are collected as they come, so that they do not pile up.
            Some(outcome) = outcomes.join_next() => failures.extend(outcome?),
            order = next_order(taken) => {
                let delivery = producer.send(Record::to("orders").value(&order)).await?;
                outcomes.spawn(async move { delivery.await.err().map(|error| (order, error)) });
                taken += 1;
            }
        }
    }

    // Takes no more records and delivers what was accepted. After the grace the rest fails, so every outcome comes.
    println!("stopping after {taken} orders");
    if let Err(error) = producer.close_timeout(GRACE).await {
        eprintln!("{error}");
    }
    while let Some(outcome) = outcomes.join_next().await {
        failures.extend(outcome?);
    }
    Ok(report(taken, &failures))
}

/// Stands for whatever brings work: a socket, a queue, a timer.
async fn next_order(number: u32) -> String {
    sleep(Duration::from_millis(10)).await;
    format!("order {number}")
}

fn report(taken: u32, failures: &[(String, DeliveryError)]) -> ExitCode {
    for (order, error) in failures {
        let written = if error.persisted() == Persisted::No { "not written" } else { "may have been written" };
        println!("{order} {written}: {error}");
    }
    println!("{taken} orders taken, {} not delivered", failures.len());
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Resolves at SIGTERM or Ctrl-C.
#[cfg(unix)]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Resolves at Ctrl-C.
#[cfg(not(unix))]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    Ok(async { drop(tokio::signal::ctrl_c().await) })
}

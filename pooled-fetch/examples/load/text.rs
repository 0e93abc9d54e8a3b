//! The figures for people.

use std::fmt::Write;

use super::report::{Connections, Latency, Report};

/// So long is the bar of the step with the most requests.
const BAR: usize = 40;

/// A rate of which less has been answered was not kept.
const KEPT: f64 = 0.95;

pub(crate) fn of(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    write(&mut text, report).ok();
    text
}

fn write(text: &mut String, report: &Report) -> std::fmt::Result {
    let Report { target, method, concurrency, seconds, requests, .. } = report;
    let version = report.version.map(|version| format!(", {version}")).unwrap_or_default();
    let rate = report.rate.map(|rate| format!(", {rate} a second")).unwrap_or_default();
    let cut = if report.interrupted { ", interrupted" } else { "" };
    writeln!(
        text,
        "{method} {target}{version}, {concurrency} at once{rate}, {seconds:.2} s{cut}\n"
    )?;
    writeln!(text, "requests     {:<12} {:.1} answers/s", requests.all, report.per_second)?;
    let (bytes, per_second) = (size(report.bytes as f64), size(report.bytes_per_second));
    writeln!(text, "bodies       {bytes:<12} {per_second}/s")?;
    for (name, count) in [
        ("failed", requests.failed),
        ("unfinished", requests.unfinished),
        ("not sent", requests.not_sent),
    ] {
        if count > 0 {
            writeln!(text, "{name:<12} {count}")?;
        }
    }
    if report.rate.is_some_and(|rate| report.per_second < KEPT * f64::from(rate)) {
        writeln!(text, "the rate was not kept: the server is slower, or -c is too low")?;
    }
    if let Some(latency) = &report.latency {
        write_latency(text, latency)?;
    }
    writeln!(text, "\nstatuses")?;
    for (status, count) in &report.statuses {
        writeln!(text, "  {status:<10} {count}")?;
    }
    write_connections(text, &report.connections)?;
    if !report.errors.is_empty() {
        writeln!(text, "\nerrors, each with the first of its kind")?;
    }
    for (kind, failure) in &report.errors {
        writeln!(text, "  {kind:<24} {:<10} {}", failure.count, failure.first)?;
    }
    Ok(())
}

fn write_latency(text: &mut String, latency: &Latency) -> std::fmt::Result {
    writeln!(text, "\nlatency, from when a request was {}", latency.since)?;
    let ends = [("least", latency.min), ("mean", latency.mean)];
    // By name they would come in another order.
    let mut quantiles: Vec<_> =
        latency.quantiles.iter().map(|(name, time)| (*name, *time)).collect();
    quantiles.sort_by(|one, other| one.1.total_cmp(&other.1));
    for (name, time) in ends.into_iter().chain(quantiles).chain([("most", latency.max)]) {
        writeln!(text, "  {name:<10} {:>10}", duration(time))?;
    }
    writeln!(text)?;
    let most = latency.histogram.iter().map(|step| step.count).max().unwrap_or(0).max(1);
    for step in &latency.histogram {
        let bar = "■".repeat((step.count as f64 / most as f64 * BAR as f64).round() as usize);
        writeln!(text, "  {:>10} {:>10}  {bar}", duration(step.up_to), step.count)?;
    }
    Ok(())
}

fn write_connections(text: &mut String, connections: &Connections) -> std::fmt::Result {
    writeln!(text, "\nconnections")?;
    for (name, count) in [
        ("opened", connections.opened),
        ("failed to open", connections.failed_to_open),
        ("reused", connections.reused),
        ("stale", connections.stale),
        ("retried", connections.retried),
    ] {
        writeln!(text, "  {name:<20} {count}")?;
    }
    for (reason, count) in &connections.closed {
        writeln!(text, "  {:<20} {count}", format!("closed, {reason}"))?;
    }
    Ok(())
}

fn duration(micros: f64) -> String {
    match micros {
        ..1e3 => format!("{micros:.0} µs"),
        ..1e6 => format!("{:.2} ms", micros / 1e3),
        _ => format!("{:.2} s", micros / 1e6),
    }
}

fn size(mut bytes: f64) -> String {
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if bytes < 1024.0 {
            return format!("{bytes:.1} {unit}");
        }
        bytes /= 1024.0;
    }
    format!("{bytes:.1} TiB")
}

//! `latency.html`: the measurements as one self-contained page.
//!
//! In: the measurements and the conclusions. Out: HTML with two charts, which loads no other file and follows the reader's choice
//! of light or dark. Pure.

use std::fmt::Write;

use plotters::{coord::Shift, prelude::*};

use super::analysis::{COLUMNS, Measured};

/// The colours of the variants. Most readers with colour blindness can distinguish them, on light and on dark ground.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0x1f, 0x83, 0xd9),
    RGBColor(0xe0, 0x7b, 0x1a),
    RGBColor(0x1a, 0xa3, 0x7a),
    RGBColor(0xc2, 0x55, 0xa8),
    RGBColor(0x9a, 0x86, 0x1c),
    RGBColor(0x6f, 0x73, 0xe0),
];
/// The colour of axes and text, which the page's style replaces by a darker or a lighter one.
const INK: RGBColor = RGBColor(0x80, 0x80, 0x80);
const SIZE: (u32, u32) = (860, 420);
/// The number of bins of the histogram.
const BINS: usize = 80;

const STYLE: &str = "\
:root{color-scheme:light dark;--ground:#fff;--ink:#1c2024;--faint:#687078;--line:#d8dce0}
@media(prefers-color-scheme:dark){:root{--ground:#14171a;--ink:#e6e9ec;--faint:#9aa3ab;--line:#363c42}}
body{margin:2rem auto;max-width:72rem;padding:0 1rem;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.6rem;margin:0}h2{font-size:1.15rem;margin:2rem 0 .5rem}p,li{max-width:60rem}p.facts{color:var(--faint);margin:.3rem 0;overflow-wrap:anywhere}
svg{width:100%;height:auto;display:block}svg text{fill:var(--ink);font-family:inherit}
svg [stroke='#808080']{stroke:var(--line)}
table{border-collapse:collapse;width:100%;margin-top:1.5rem;font-variant-numeric:tabular-nums}
th,td{padding:.35rem .45rem;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th:first-child,th:last-child,td:last-child{text-align:left}tbody th{font-weight:normal;white-space:normal}td:last-child{text-align:left;white-space:normal;min-width:11rem;overflow-wrap:break-word;color:var(--faint);font-family:ui-monospace,monospace;font-size:.85em}
@media(max-width:74rem){thead{display:none}table,tbody,tr,tbody th,td{display:block}tr{margin-bottom:1rem}tbody th{font-weight:bold}
td{display:flex;justify-content:space-between;gap:1rem;padding:.2rem .6rem;white-space:normal}td:last-child{text-align:right;min-width:0}
td::before{content:attr(data-of);color:var(--faint);font:.85rem system-ui,sans-serif;white-space:nowrap}}
@media(max-width:40rem){svg text{font-size:17px}}
.swatch{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin-right:.5em;vertical-align:-.05em}
";

/// The whole page.
pub(super) fn page(measured: &[Measured], sentences: &[String], facts: &[String]) -> String {
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>From send to callback</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<h1>From send to callback</h1>\n"
    );
    for fact in facts {
        // Writing to a string does not fail.
        let _ = writeln!(out, "<p class=\"facts\">{}</p>", escaped(fact));
    }
    out += &table(measured);
    out += "<h2>What follows</h2>\n<ul>\n";
    for sentence in sentences {
        let _ = writeln!(out, "<li>{}</li>", escaped(sentence));
    }
    out += "</ul>\n<h2>How many records took at most so long</h2>\n";
    out += &drawing("percentiles", "Latency by percentile, from 0 to all but the last records", measured, percentiles);
    out += "<h2>How latencies are distributed</h2>\n";
    out += &drawing("distribution", "Share of records by latency", measured, distribution);
    out + "</body>\n</html>\n"
}

fn table(measured: &[Measured]) -> String {
    let mut out = "<table>\n<thead><tr><th scope=\"col\">variant</th>".to_owned();
    for (name, _) in COLUMNS {
        let _ = write!(out, "<th scope=\"col\">{name}</th>");
    }
    out += "<th scope=\"col\">settings</th></tr></thead>\n<tbody>\n";
    for (of, colour) in measured.iter().zip(COLOURS.iter().cycle()) {
        let RGBColor(r, g, b) = *colour;
        let swatch = format!("<span class=\"swatch\" style=\"background:#{r:02x}{g:02x}{b:02x}\"></span>");
        let _ = write!(out, "<tr><th scope=\"row\">{swatch}{}</th>", escaped(&of.name));
        // On narrow screens each cell is a line that begins with the column's name.
        for (name, value) in COLUMNS {
            let _ = write!(out, "<td data-of=\"{name}\">{}</td>", value(of));
        }
        let _ = writeln!(out, "<td data-of=\"settings\">{}</td></tr>", escaped(&of.settings));
    }
    out + "</tbody></table>\n"
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// A chart as SVG, with a title and a description for screen readers.
fn drawing(id: &str, what: &str, measured: &[Measured], draw: fn(&Area<'_>, &[Measured]) -> Drawn) -> String {
    let mut svg = String::new();
    let drawn = {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        draw(&area, measured).and_then(|()| area.present().map_err(Into::into))
    };
    if let Err(error) = drawn {
        return format!("<p>It cannot be drawn: {}</p>\n", escaped(&error.to_string()));
    }
    let medians: Vec<_> = measured.iter().map(|of| format!("{}: median {:.3} ms", of.name, of.ms(0.5))).collect();
    let title = format!(
        "<title id=\"{id}-title\">{what}</title><desc id=\"{id}-desc\">{}</desc>",
        escaped(&medians.join("; "))
    );
    let head = format!("<svg role=\"img\" aria-labelledby=\"{id}-title {id}-desc\" ");
    let svg = svg.replacen("<svg ", &head, 1);
    match svg.split_once(">\n") {
        Some((open, rest)) => format!("{open}>{title}\n{rest}"),
        None => svg,
    }
}

/// Latency against the percentile, on a scale where 90, 99 and 99.9 % are equally far apart.
fn percentiles(area: &Area<'_>, measured: &[Measured]) -> Drawn {
    let most = measured.iter().map(|of| of.latency.len()).max().unwrap_or(1).max(10) as f64;
    let (least, largest) = range(measured);
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .margin_right(40)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d((1.0..most).log_scale(), (least..largest).log_scale())?;
    chart
        .configure_mesh()
        .axis_style(INK)
        .light_line_style(TRANSPARENT)
        .bold_line_style(INK.mix(0.5))
        .label_style(("sans-serif", 14).into_font().color(&INK))
        .x_desc("percent of the records")
        .y_desc("milliseconds, at most")
        .x_label_formatter(&|nines| percent(*nines))
        .y_label_formatter(&|ms| number(*ms))
        .draw()?;
    for (of, colour) in measured.iter().zip(COLOURS.iter().cycle()) {
        let points = (0..=400).map(|step| most.powf(f64::from(step) / 400.0));
        let line = points.map(|nines| (nines, of.ms(1.0 - 1.0 / nines).max(least)));
        chart.draw_series(LineSeries::new(line, colour.stroke_width(2)))?.label(&of.name).legend(key(*colour));
    }
    legend(&mut chart, SeriesLabelPosition::LowerRight)
}

/// The share of the records against their latency.
fn distribution(area: &Area<'_>, measured: &[Measured]) -> Drawn {
    let (least, largest) = range(measured);
    let width = (largest / least).powf(1.0 / BINS as f64);
    let bins = |of: &Measured| -> Vec<(f64, f64)> {
        let edge = |bin: usize| least * width.powi(bin as i32);
        let share = |bin: usize| {
            let micros = |ms: f64| (ms * 1_000.0) as u64;
            let (from, to) = (micros(edge(bin)), micros(edge(bin + 1)).saturating_sub(1));
            let from = if bin == 0 { 0 } else { from };
            if to < from {
                0.0
            } else {
                100.0 * of.latency.count_between(from, to) as f64 / of.latency.len().max(1) as f64
            }
        };
        (0..BINS).flat_map(|bin| [(edge(bin), share(bin)), (edge(bin + 1), share(bin))]).collect()
    };
    let all: Vec<_> = measured.iter().map(bins).collect();
    let highest = all.iter().flatten().map(|(_, share)| *share).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .margin_right(40)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d((least..largest).log_scale(), 0.0..highest * 1.05)?;
    chart
        .configure_mesh()
        .axis_style(INK)
        .light_line_style(TRANSPARENT)
        .bold_line_style(INK.mix(0.5))
        .label_style(("sans-serif", 14).into_font().color(&INK))
        .x_desc("milliseconds")
        .y_desc("percent of the records")
        .x_label_formatter(&|ms| number(*ms))
        .draw()?;
    for ((of, colour), bins) in measured.iter().zip(COLOURS.iter().cycle()).zip(all) {
        let area = AreaSeries::new(bins, 0.0, colour.mix(0.2)).border_style(colour.stroke_width(2));
        chart.draw_series(area)?.label(&of.name).legend(key(*colour));
    }
    legend(&mut chart, SeriesLabelPosition::UpperRight)
}

fn key(colour: RGBColor) -> impl Fn((i32, i32)) -> Rectangle<(i32, i32)> {
    move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], colour.filled())
}

type Chart<'a, 'b, X, Y> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<X, Y>>;

fn legend<'a, 'b, X, Y>(chart: &mut Chart<'a, 'b, X, Y>, position: SeriesLabelPosition) -> Drawn
where
    X: Ranged<ValueType = f64>,
    Y: Ranged<ValueType = f64>,
    'b: 'a,
{
    let letters = ("sans-serif", 14).into_font().color(&INK);
    chart.configure_series_labels().position(position).label_font(letters).draw()?;
    Ok(())
}

/// The least and the largest latency, in milliseconds, with some room.
fn range(measured: &[Measured]) -> (f64, f64) {
    let least = measured.iter().map(|of| of.latency.min() as f64 / 1_000.0).fold(f64::MAX, f64::min);
    let largest = measured.iter().map(|of| of.ms(1.0)).fold(0.0, f64::max);
    let least = least.clamp(0.001, 1_000_000.0);
    (least * 0.9, (largest * 1.1).max(least * 2.0))
}

/// Formats a percentile: 10 is 90 %, 100 is 99 %.
fn percent(nines: f64) -> String {
    let percent = 100.0 * (1.0 - 1.0 / nines);
    let digits = (nines.log10() - 2.0).max(0.0).ceil() as usize;
    format!("{percent:.digits$} %")
}

fn number(ms: f64) -> String {
    if ms >= 10.0 { format!("{ms:.0}") } else { format!("{}", (ms * 1_000.0).round() / 1_000.0) }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use hdrhistogram::Histogram;

    use super::*;

    fn measured(name: &str, ms: u64) -> Measured {
        let mut latency = Histogram::new_with_max(10_000_000_000, 3).unwrap();
        (1..=1_000).for_each(|step| latency.record(ms * step).unwrap());
        let (settings, codec) = ("linger.ms=<5>".to_owned(), "none".to_owned());
        let name = name.to_owned();
        Measured {
            name,
            settings,
            linger_ms: 0.0,
            codec,
            latency,
            rate: 1.0,
            requests: 1.0,
            records: 1.0,
            compression: 1.0,
        }
    }

    #[test]
    fn the_page_is_complete_and_loads_no_other_file() {
        let sentences = ["a & b took < 5 ms".to_owned()];
        let page = page(&[measured("fast", 1), measured("<slow>", 20)], &sentences, &["some facts".to_owned()]);
        for expected in [
            "&lt;slow&gt;",
            "linger.ms=&lt;5&gt;",
            "a &amp; b took &lt; 5 ms",
            "some facts",
            "prefers-color-scheme:dark",
        ] {
            assert!(page.contains(expected), "{expected}");
        }
        assert_eq!(page.matches("<svg ").count(), 2);
        assert_eq!(page.matches("role=\"img\"").count(), 2);
        assert_eq!(page.matches("median 0.5").count(), 2);
        let elsewhere = ["http://", "https://", "src=", "<link", "@import", "url("];
        let links = elsewhere.iter().flat_map(|how| page.match_indices(how));
        assert!(links.into_iter().all(|(at, _)| page[..at].ends_with("xmlns=\"")));
    }

    #[test]
    fn a_single_latency_can_be_drawn() {
        let mut one = measured("one", 1);
        one.latency.reset();
        one.latency.record(0).unwrap();
        assert!(!page(&[one], &[], &[]).contains("cannot be drawn"));
    }

    #[test]
    fn nines_are_formatted_as_percent() {
        assert_eq!([1.0, 10.0, 100.0, 1_000.0, 10_000.0].map(percent), ["0 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
    }
}

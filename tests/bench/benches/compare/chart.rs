//! The chart: four panels of bars, each client's figure in relation to bare hyper's.

use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::Error;
use crate::table::Table;

const SIZE: (u32, u32) = (1000, 640);

/// A panel: its heading, and where its figures stand: the table, and which of its columns that begin so.
const PANELS: [(&str, &str, &str); 4] = [
    ("instructions, one at a time", "Counted for each request", "instructions"),
    ("CPU, one at a time, one thread", "One request at a time, on one thread", "CPU"),
    (
        "requests/s, 64 at once, two workers (more is better)",
        "64 requests at once, on two workers",
        "requests/s",
    ),
    ("p99 latency, 64 at once, two workers", "64 requests at once, on two workers", "p99"),
];

pub(crate) fn draw(path: &Path, tables: &[Table]) -> Result<(), Error> {
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let titled =
        area.titled("A request, in relation to bare hyper, which has no pool", ("sans-serif", 20))?;
    for (panel, (heading, title, column)) in titled.split_evenly((2, 2)).iter().zip(PANELS) {
        if let Some(bars) = bars(tables, title, column) {
            draw_panel(panel, heading, &bars)?;
        }
    }
    Ok(area.present()?)
}

/// The clients and their ratios, which stand in the column after the figures; without those that lack one.
fn bars<'a>(tables: &'a [Table], title: &str, column: &str) -> Option<Vec<(&'a str, f64)>> {
    let table = tables.iter().find(|table| table.title == title)?;
    let at = table.columns.iter().position(|it| it.name.starts_with(column))?;
    let ratios = &table.columns.get(at + 1)?.figures;
    let named = table.rows.iter().zip(ratios);
    Some(named.filter_map(|(name, ratio)| Some((name.as_str(), (*ratio)?))).collect())
}

fn draw_panel(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    heading: &str,
    bars: &[(&str, f64)],
) -> Result<(), Error> {
    let most = bars.iter().map(|bar| bar.1).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption(heading, ("sans-serif", 17))
        .margin(12)
        .set_left_and_bottom_label_area_size(0)
        .build_cartesian_2d(-0.32 * most..1.15 * most, bars.len() as f64..0.0)?;
    let label = |right: bool| {
        let side = if right { HPos::Right } else { HPos::Left };
        ("sans-serif", 14).into_text_style(area).pos(Pos::new(side, VPos::Center))
    };
    for (index, (name, ratio)) in bars.iter().enumerate() {
        let (top, middle, bottom) = (index as f64 + 0.15, index as f64 + 0.5, index as f64 + 0.85);
        let colour = match *name {
            "ours" | "ours-unprobed" => RGBColor(214, 94, 0),
            "hyper" => RGBColor(90, 90, 90),
            _ => RGBColor(120, 160, 200),
        };
        chart.draw_series([Rectangle::new([(0.0, top), (*ratio, bottom)], colour.filled())])?;
        let name = Text::new(name.to_string(), (-0.015 * most, middle), label(true));
        let figure = Text::new(format!("{ratio:.2}"), (ratio + 0.015 * most, middle), label(false));
        chart.draw_series([name, figure])?;
    }
    let yardstick = [(1.0, 0.0), (1.0, bars.len() as f64)];
    chart.draw_series([PathElement::new(yardstick, RGBColor(90, 90, 90))])?;
    Ok(())
}

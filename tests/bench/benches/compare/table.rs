//! A table of figures: one row for each client, and beside a figure its ratio to the reference.

use std::fmt;

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table as Layout};
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct Table {
    pub(crate) title: String,
    pub(crate) rows: Vec<String>,
    pub(crate) columns: Vec<Column>,
    note: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) figures: Vec<Option<f64>>,
    #[serde(skip)]
    digits: usize,
}

impl Table {
    pub(crate) fn new(
        title: impl Into<String>,
        rows: impl IntoIterator<Item = impl ToString>,
    ) -> Self {
        let rows = rows.into_iter().map(|row| row.to_string()).collect();
        Self { title: title.into(), rows, columns: Vec::new(), note: None }
    }

    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    pub(crate) fn column(
        mut self,
        name: impl Into<String>,
        digits: usize,
        figures: Vec<Option<f64>>,
    ) -> Self {
        self.columns.push(Column { name: name.into(), figures, digits });
        self
    }

    /// The last column again, in relation to the row of that name.
    pub(crate) fn ratio(self, reference: impl ToString) -> Self {
        let reference = reference.to_string();
        let row = self.rows.iter().position(|row| *row == reference);
        let ratios = self.columns.last().map_or_else(Vec::new, |column| {
            let one = row.and_then(|row| column.figures[row]);
            column.figures.iter().map(|figure| Some((*figure)? / one?)).collect()
        });
        self.column("×", 2, ratios)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut layout = Layout::new();
        layout.load_style(ASCII_MARKDOWN);
        let heads = self.columns.iter().map(|column| column.name.clone());
        layout.set_header(std::iter::once(String::new()).chain(heads));
        for (index, row) in self.rows.iter().enumerate() {
            let cell = |Column { figures, digits, .. }: &Column| {
                figures[index].map_or_else(|| "–".to_owned(), |figure| format!("{figure:.digits$}"))
            };
            layout.add_row(std::iter::once(row.clone()).chain(self.columns.iter().map(cell)));
        }
        for column in layout.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        writeln!(f, "## {}\n\n{layout}", self.title)?;
        self.note.iter().try_for_each(|note| writeln!(f, "\n{note}"))
    }
}

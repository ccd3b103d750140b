// SPDX-License-Identifier: GPL-2.0-only
//! Aligned columns, as systemctl prints them. Numbers stand right, words left, the last column is never padded.

use super::text::clean;

/// A table under construction.
#[derive(Debug)]
pub(super) struct Table {
    heads: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

/// Where a column's cells stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

impl Table {
    /// A table with these columns.
    pub(super) fn new(heads: &[(&'static str, Align)]) -> Self {
        Self {
            heads: heads.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; an empty cell is shown as a dash.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells = cells.into_iter().map(|cell| match cell.as_str() {
            "" => "-".to_owned(),
            cell => clean(cell),
        });
        self.rows.push(cells.collect());
    }

    /// The head's line and the rows' lines.
    pub(super) fn lines(&self) -> (String, Vec<String>) {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column)).map(String::as_str);
            let head = self.heads[column].0;
            cells.chain([head]).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.heads.len()).map(width).collect();
        let head: Vec<&str> = self.heads.iter().map(|(head, _)| *head).collect();
        let rows = self.rows.iter().map(|row| {
            let cells: Vec<&str> = row.iter().map(String::as_str).collect();
            self.line(&cells, &widths)
        });
        (self.line(&head, &widths), rows.collect())
    }

    fn line(&self, cells: &[&str], widths: &[usize]) -> String {
        let cells = cells.iter().zip(widths).zip(&self.heads);
        let padded: Vec<String> = cells
            .map(|((cell, &width), (_, align))| match align {
                Align::Left => format!("{cell:<width$}"),
                Align::Right => format!("{cell:>width$}"),
            })
            .collect();
        padded.join("  ").trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&[("PATCH", Align::Left), ("N", Align::Right), ("UNIT", Align::Left)]);
        table.row(["a", "12", ""].map(str::to_owned));
        table.row(["longer", "3", "b.service"].map(str::to_owned));
        let (head, rows) = table.lines();
        assert_eq!(head, "PATCH    N  UNIT");
        assert_eq!(rows, ["a       12  -", "longer   3  b.service"]);
    }
}

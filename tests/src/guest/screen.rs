// SPDX-License-Identifier: GPL-2.0-only
//! What a terminal shows after what was written to it: as much of a terminal as a progress bar needs.
//!
//! Lines wrap as terminals wrap them: a character past the last column begins a line, the end of a full line does not. It has
//! no lower edge, so nothing scrolls. What it does not know is an error, not ignored.

use anyhow::{Result, bail};

/// A terminal's screen.
#[derive(Debug, Clone)]
pub struct Screen {
    width: usize,
    lines: Vec<Vec<char>>,
    row: usize,
    column: usize,
}

impl Screen {
    /// An empty one, with so many columns.
    pub fn new(width: usize) -> Self {
        Self {
            width,
            lines: Vec::new(),
            row: 0,
            column: 0,
        }
    }

    /// Writes all of `text` and calls `look` after each character that is not part of a command.
    pub fn write(&mut self, text: &str, mut look: impl FnMut(&[String])) -> Result<()> {
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            match c {
                '\r' => self.column = 0,
                '\n' => self.row += 1,
                '\u{1b}' => self.command(&mut rest)?,
                c if c.is_control() => bail!("the terminal does not know {c:?}"),
                c => self.put(c),
            }
            look(&self.text());
        }
        Ok(())
    }

    /// Its lines, without what is empty at their ends.
    pub fn text(&self) -> Vec<String> {
        let lines = self.lines.iter();
        lines
            .map(|line| line.iter().collect::<String>().trim_end().to_owned())
            .collect()
    }

    fn put(&mut self, c: char) {
        if self.column >= self.width {
            (self.row, self.column) = (self.row + 1, 0);
        }
        let column = self.column;
        let line = self.line();
        if line.len() <= column {
            line.resize(column + 1, ' ');
        }
        line[column] = c;
        self.column += 1;
    }

    fn line(&mut self) -> &mut Vec<char> {
        if self.lines.len() <= self.row {
            self.lines.resize(self.row + 1, Vec::new());
        }
        &mut self.lines[self.row]
    }

    /// ECMA-48: `ESC [ parameters letter`.
    fn command(&mut self, rest: &mut std::str::Chars<'_>) -> Result<()> {
        if rest.next() != Some('[') {
            bail!("an escape sequence that is no command");
        }
        let mut parameters = String::new();
        let letter = loop {
            match rest.next() {
                Some(c) if c.is_ascii_digit() || matches!(c, ';' | '?') => parameters.push(c),
                Some(c) => break c,
                None => bail!("a command that does not end"),
            }
        };
        let count = parameters.parse().unwrap_or(1);
        match (letter, parameters.as_str()) {
            ('A', _) => self.row = self.row.saturating_sub(count),
            ('B', _) => self.row += count,
            ('C', _) => self.column += count,
            ('D', _) => self.column = self.column.saturating_sub(count),
            ('G', _) => self.column = count.saturating_sub(1),
            ('K', "" | "0") => {
                let column = self.column;
                self.line().truncate(column);
            }
            ('K', "2") => self.line().clear(),
            ('J', "" | "0") => {
                let column = self.column;
                self.line().truncate(column);
                let row = self.row;
                self.lines.truncate(row + 1);
            }
            // colours, and whether the cursor shows
            ('m', _) | ('l' | 'h', "?25") => {}
            (letter, parameters) => bail!("the terminal does not know the command {parameters}{letter}"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<Vec<String>> {
        let mut screen = Screen::new(10);
        screen.write(text, |_| ())?;
        Ok(screen.text())
    }

    #[test]
    fn what_is_drawn_over_is_gone() -> Result<()> {
        assert_eq!(shown("one\r\ntwo\r\x1b[1A\x1b[2Kthree")?, ["three", "two"]);
        assert_eq!(
            shown("\x1b[1m[==>]\x1b[0m 5/7\r\n\x1b[1A\r\x1b[2K\x1b[Jdone")?,
            ["done"]
        );
        Ok(())
    }

    #[test]
    fn a_full_line_is_followed_by_the_next_character_in_a_new_line() -> Result<()> {
        assert_eq!(shown("one       two")?, ["one", "two"]);
        assert_eq!(shown("one       \r\x1b[2Ktwo")?, ["two"]);
        Ok(())
    }

    #[test]
    fn what_it_does_not_know_is_an_error() {
        assert!(shown("\x1b[3Q").is_err() && shown("\x07").is_err() && shown("\x1b[1").is_err());
    }
}

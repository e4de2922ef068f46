//! Reads lists of whole numbers that people type, such as `3, -1, 42`.
//!
//! Both functions are called with text straight from a form. They must answer bad text with
//! `Err(ParseError)` and never panic, so each is to return a `Result`:
//!
//! - `parse_numbers(input: &str) -> Result<Vec<i64>, ParseError>`
//! - `largest(input: &str) -> Result<Option<i64>, ParseError>`

/// The first field of a list that is not a whole number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// The place of the field in the list, counted from 0.
    pub index: usize,
    /// The field as it was typed, without the white space around it.
    pub value: String,
}

/// Returns the numbers of a comma-separated list.
///
/// White space around a number does not count. An input that is empty, or nothing but white
/// space, is the empty list.
pub fn parse_numbers(input: &str) -> Vec<i64> {
    input
        .split(',')
        .map(|field| field.trim().parse::<i64>().unwrap())
        .collect()
}

/// Returns the largest number of a comma-separated list, `None` for the empty list.
pub fn largest(input: &str) -> Option<i64> {
    parse_numbers(input).into_iter().max()
}

//! Counts words of standard input and prints the most frequent ones.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::io::{self, BufRead, Write};

/// Splits a line into lower-case words; apostrophes inside a word belong to it.
fn words(line: &str) -> impl Iterator<Item = String> + '_ {
    line.split(|c: char| !(c.is_alphanumeric() || c == '\''))
        .map(|word| word.trim_matches('\'').to_lowercase())
        .filter(|word| !word.is_empty())
}

/// The `n` most frequent words; words of equal count come in alphabetical order.
fn most_frequent(counts: &HashMap<String, usize>, n: usize) -> Vec<(&str, usize)> {
    let mut list: Vec<(&str, usize)> = counts.iter().map(|(w, &c)| (w.as_str(), c)).collect();
    list.sort_by_key(|&(word, count)| (Reverse(count), word));
    list.truncate(n);
    list
}

fn main() -> io::Result<()> {
    let wanted = std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(20);
    let mut counts: HashMap<String, usize> = HashMap::new();
    for line in io::stdin().lock().lines() {
        for word in words(&line?) {
            *counts.entry(word).or_insert(0) += 1;
        }
    }
    let mut out = io::stdout().lock();
    for (word, count) in most_frequent(&counts, wanted) {
        writeln!(out, "{count:>8}  {word}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apostrophes_inside_words_stay() {
        let found: Vec<String> = words("Don't 'quote' me").collect();
        assert_eq!(found, ["don't", "quote", "me"]);
    }
}

//! Numbers for people.

/// Bytes with three digits: `93.8 MB`.
pub(crate) fn bytes(n: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = if unit == 0 || value >= 99.95 {
        0
    } else if value >= 9.995 {
        1
    } else {
        2
    };
    format!("{value:.digits$} {}", units[unit])
}

/// Bytes as people write them: `4GB`, `1.5 GiB`, `800000`.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (text[..end].parse::<f64>().ok(), text[end..].trim().to_ascii_lowercase());
    let factor = match unit.as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "kib" => 1024.0,
        "mib" => 1024.0 * 1024.0,
        "gib" => 1024.0 * 1024.0 * 1024.0,
        _ => f64::NAN,
    };
    let bytes = number.map(|n| n * factor).filter(|b| b.is_finite());
    bytes.map(|b| b as u64).ok_or_else(|| "expected a number of bytes such as 4GB or 800MB".to_owned())
}

/// Counts with three digits: `135 M`.
pub(crate) fn count(n: u64) -> String {
    match n {
        0..1000 => n.to_string(),
        1000..1_000_000 => format!("{:.3} k", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} M", n as f64 / 1e6),
        _ => format!("{:.2} B", n as f64 / 1e9),
    }
}

/// A table with aligned columns; the first row is the heading. Columns in `right` are aligned to the right.
pub(crate) fn table(rows: &[Vec<String>], right: &[usize]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| rows.iter().filter_map(|r| r.get(c)).map(|s| s.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let cells = row.iter().enumerate().map(|(c, cell)| {
            if right.contains(&c) { format!("{cell:>w$}", w = widths[c]) } else { format!("{cell:w$}", w = widths[c]) }
        });
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_three_digits() {
        let shown = [0, 999, 1000, 12_345, 999_600, 93_800_000, 1_192_000_000].map(bytes);
        assert_eq!(shown, ["0 B", "999 B", "1.00 kB", "12.3 kB", "1.00 MB", "93.8 MB", "1.19 GB"]);
    }

    #[test]
    fn bytes_are_read_as_people_write_them() {
        assert_eq!(
            ["4GB", "1.5 GiB", "800000", "2k"].map(parse_bytes),
            [Ok(4_000_000_000), Ok(1_610_612_736), Ok(800_000), Ok(2000)]
        );
        assert!(parse_bytes("many").is_err() && parse_bytes("4 apples").is_err());
    }

    #[test]
    fn tables_are_aligned() {
        let rows = [vec!["name".to_owned(), "bytes".to_owned()], vec!["a".to_owned(), "7".to_owned()]];
        assert_eq!(table(&rows, &[1]), "name  bytes\na         7\n");
    }
}

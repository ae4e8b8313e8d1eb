//! Tables as registries and spreadsheets write them, and what is wrong with others.

use std::fmt::Write;

use super::super::identity::tests::providers;
use super::*;

const NOW: &str = "2026-11-22T12:00:00Z";

/// The rows, each as `LINE NAME TIME IDENTITY ADDRESS`, or what is wrong, as `LINE: COLUMN: …`.
fn read_all(table: &[u8]) -> Vec<String> {
    let settings = providers();
    let providers = Providers::of(&settings);
    let rules = Rules {
        providers: &providers,
        now: NOW.parse().unwrap(),
    };
    let mut rows = match Rows::open(table, rules) {
        Ok(rows) => rows,
        Err(problems) => return problems.iter().map(ToString::to_string).collect(),
    };
    let mut all = Vec::new();
    loop {
        match rows.next() {
            Next::Row(row) => all.push(summary(&row)),
            Next::Wrong(problems) => all.extend(problems.iter().map(ToString::to_string)),
            Next::Broken(problem) => {
                all.push(problem.to_string());
                return all;
            }
            Next::End => return all,
        }
    }
}

fn summary(row: &Row) -> String {
    let Row { line, row } = row;
    let identity = row
        .identity
        .as_ref()
        .map_or("-".to_owned(), ToString::to_string);
    let email = row
        .verified_email
        .as_ref()
        .map_or("-", EmailAddress::as_str);
    format!(
        "{line} {} {} {identity} {email}",
        row.name, row.registered_at
    )
}

#[track_caller]
fn check(table: &str, expected: &[&str]) {
    assert_eq!(read_all(table.as_bytes()), expected, "{table}");
}

/// One row under the columns `account,created,provider,tenant,subject,verified_email`.
#[track_caller]
fn check_row(row: &str, expected: &[&str]) {
    let table = format!("account,created,provider,tenant,subject,verified_email\n{row}\n");
    check(&table, expected);
}

#[test]
fn a_table_has_rows_under_named_columns_in_any_order() {
    check(
        "account,created\nann,2019-03-04\nbob,2020-01-02T03:04:05.5Z\n",
        &[
            "2 ann 2019-03-04T00:00:00Z - -",
            "3 bob 2020-01-02T03:04:05.5Z - -",
        ],
    );
    check(
        "verified_email,subject,created,account,provider\na@b,7,2019-03-04,ann,github\n,,2019-03-04,bob,\n",
        &[
            "2 ann 2019-03-04T00:00:00Z github github.com 7 a@b",
            "3 bob 2019-03-04T00:00:00Z - -",
        ],
    );
    check("account,created\n", &[]);
}

#[test]
fn lines_are_counted_whatever_ends_them() {
    let expected = &[
        "2 ann 2019-03-04T00:00:00Z - -",
        "5 bob 2019-03-04T00:00:00Z - -",
    ];
    let table = "account,created\nann,2019-03-04\n\n\nbob,2019-03-04";
    check(table, expected);
    check(&table.replace('\n', "\r\n"), expected);
    check(&format!("{table}\n"), expected);
    check(
        &format!("{table}\r\n\r\n")
            .replace('\n', "\r\n")
            .replace("\r\r", "\r"),
        expected,
    );
    check(&format!("\u{feff}{table}"), expected);
}

#[test]
fn lines_are_counted_past_a_quoted_line_end() {
    check(
        "account,created\n\"a\nb\",2019-03-04\r\n\"c,\"\"d\"\"\",2019-03-04\n",
        &[
            "2: account: expected a name of 1 to 128 printable characters, without white space at its ends, found `a\\nb`",
            "4 c,\"d\" 2019-03-04T00:00:00Z - -",
        ],
    );
}

#[test]
fn a_lone_carriage_return_is_no_line_end() {
    check(
        "account,created\nann\rbob,2019-03-04\n",
        &[
            "2: account: expected a name of 1 to 128 printable characters, without white space at its ends, found `ann\\rbob`",
        ],
    );
}

#[test]
fn a_header_names_each_column_once_and_no_others() {
    let all = "`account`, `created`, `provider`, `tenant`, `subject`, `verified_email`";
    check(
        "",
        &["1: expected a header row with `account` and `created`, found nothing"],
    );
    check(
        "account,created,e-mail,created\n",
        &[
            &format!("1: expected columns of {all}, found `e-mail`"),
            "1: expected each column once, found `created` twice",
        ],
    );
    check(
        "account;created\n",
        &[
            &format!(
                "1: expected columns of {all}, found `account;created` (columns are separated by commas)"
            ),
            "1: expected a column `account`, found none",
            "1: expected a column `created`, found none",
        ],
    );
    check(
        "account,created,tenant\n",
        &[
            "1: expected a column `provider`, found none",
            "1: expected a column `subject`, found none",
        ],
    );
    let told = read_all(b"ann,2019-03-04\nbob,2019-03-05\n");
    assert_eq!(told.len(), 4, "{told:?}");
}

#[test]
fn all_that_is_wrong_with_a_row_is_told() {
    check_row(
        " ann,yesterday,gitlab,,7,ann",
        &[
            "2: account: expected a name of 1 to 128 printable characters, without white space at its ends, found ` ann`",
            "2: created: expected a date (`2019-03-04`) or a time with its zone (`2019-03-04T05:06:07Z`), found `yesterday`",
            "2: provider: expected a configured provider (`both`, `contoso`, `ghes`, `github`, `google`, `keycloak`, `personal`, `work`), found `gitlab`",
            "2: verified_email: expected an e-mail address (`LOCAL@DOMAIN`), found `ann`",
        ],
    );
    check_row(
        "ann,2019-03-04",
        &["2: expected 6 fields as in the header, found 2"],
    );
    check_row(
        "ann,2019-03-04,github,,octocat,",
        &[
            "2: subject: expected the numeric id of the GitHub account (a login name can pass to another), found `octocat`",
        ],
    );
}

#[test]
fn no_address_is_told_whole() {
    check_row(
        "ann,2019-03-04,,,,ann smith@registry.example",
        &[
            "2: verified_email: expected an e-mail address (`LOCAL@DOMAIN`), found 26 characters with `@` among them",
        ],
    );
    check_row(
        "ann,ann@registry.example,,,,",
        &[
            "2: created: expected a date (`2019-03-04`) or a time with its zone (`2019-03-04T05:06:07Z`), found 20 characters with `@` among them",
        ],
    );
}

#[test]
fn a_date_has_begun_and_is_no_stand_in_for_none() {
    let created = |text: &str| registration(text, NOW.parse().unwrap()).map(|it| it.to_string());
    for (text, expected) in [
        ("2026-11-22", "2026-11-22T00:00:00Z"),
        ("1990-01-01", "1990-01-01T00:00:00Z"),
        ("2019-03-04T05:06:07Z", "2019-03-04T05:06:07Z"),
        (
            "2019-03-04T05:06:07.123456789+05:30",
            "2019-03-03T23:36:07.123456789Z",
        ),
        ("2019-03-04 05:06:07Z", "2019-03-04T05:06:07Z"),
        ("2020-02-29", "2020-02-29T00:00:00Z"),
    ] {
        assert_eq!(created(text).unwrap(), expected);
    }
    for text in [
        "",
        "2026-11-23",
        "2026-11-22T12:00:01Z",
        "1970-01-01",
        "0000-00-00",
        "1989-12-31",
        "2019-02-29",
        "2019-13-01",
        "20190304",
        "03/04/2019",
        "04.03.2019",
        "2019-3-4",
        "2019-W10-1",
        "2019-03-04T05:06:07",
        "2019-03-04T05:06",
        "1551675967",
        "NULL",
        " 2019-03-04",
    ] {
        assert!(
            created(text).is_err(),
            "`{text}` was taken: {:?}",
            created(text)
        );
    }
}

#[test]
fn bytes_that_are_no_text_are_told() {
    let told = read_all(b"account,created\n\xff\xfe,2019-03-04\nann,2019-03-04\n");
    let expected = [
        "2: account: expected UTF-8, found other bytes",
        "3 ann 2019-03-04T00:00:00Z - -",
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_quote_that_is_not_closed_does_not_swallow_the_file() {
    let mut table = String::from("account,created\nann,2019-03-04\n\"bob,2019-03-04\n");
    table.push_str(&"x,2019-03-04\n".repeat(100_000));
    let told = read_all(table.as_bytes());
    assert_eq!(told.len(), 2, "{:?}", &told[..2]);
    assert_eq!(told[0], "2 ann 2019-03-04T00:00:00Z - -");
    assert!(
        told[1].starts_with("3: ") && told[1].contains("not closed"),
        "{}",
        told[1]
    );
}

#[test]
fn a_long_table_of_short_rows_is_read_to_its_end() {
    let mut table = String::from("account,created\r\n");
    for n in 0..20_000 {
        write!(table, "account-{n},2019-03-04\r\n").unwrap();
    }
    let told = read_all(table.as_bytes());
    assert_eq!(told.len(), 20_000);
    assert_eq!(told[19_999], "20001 account-19999 2019-03-04T00:00:00Z - -");
}

/// A reader that gives a byte at a time, so that every line end is cut in two.
struct Dripping<'a>(&'a [u8]);

impl Read for Dripping<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (first, rest) = self.0.split_at(self.0.len().min(1));
        buffer[..first.len()].copy_from_slice(first);
        self.0 = rest;
        Ok(first.len())
    }
}

#[test]
fn line_ends_are_one_kind_however_they_arrive() {
    for (text, expected) in [
        ("a\r\nb\r\n", "a\nb\n"),
        ("a\nb", "a\nb\n"),
        ("a\rb\r", "a\rb\n"),
        ("a\r\r\nb", "a\r\nb\n"),
        ("", ""),
        ("\r\n", "\n"),
    ] {
        let mut whole = String::new();
        Lines::new(text.as_bytes())
            .read_to_string(&mut whole)
            .unwrap();
        assert_eq!(whole, expected, "{text:?}");
        let mut dripped = String::new();
        Lines::new(Dripping(text.as_bytes()))
            .read_to_string(&mut dripped)
            .unwrap();
        assert_eq!(dripped, expected, "{text:?}, byte by byte");
    }
}

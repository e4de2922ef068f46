mod tests {
    use numlist::{largest, parse_numbers, ParseError};

    fn error(index: usize, value: &str) -> ParseError {
        ParseError {
            index,
            value: value.to_string(),
        }
    }

    #[test]
    fn happy_path() {
        assert_eq!(parse_numbers("1,2,3"), Ok(vec![1, 2, 3]));
        assert_eq!(parse_numbers(" 10 , 20 "), Ok(vec![10, 20]));
        assert_eq!(largest("4, 17, 9"), Ok(Some(17)));
    }

    #[test]
    fn negative_numbers() {
        assert_eq!(parse_numbers("-5, 0, 5"), Ok(vec![-5, 0, 5]));
        assert_eq!(largest("-8, -3"), Ok(Some(-3)));
    }

    #[test]
    fn empty() {
        assert_eq!(parse_numbers(""), Ok(Vec::new()));
        assert_eq!(parse_numbers("  \n"), Ok(Vec::new()));
        assert_eq!(largest(""), Ok(None));
    }

    #[test]
    fn bad_input_does_not_panic() {
        for input in ["x", "1,x", ",", "1,,2", "1.5", "--1", "99999999999999999999"] {
            assert!(parse_numbers(input).is_err(), "{input:?}");
            assert!(largest(input).is_err(), "{input:?}");
        }
    }

    #[test]
    fn bad_input_reports_index_and_value() {
        assert_eq!(parse_numbers("1, two ,3"), Err(error(1, "two")));
        assert_eq!(parse_numbers("x,y"), Err(error(0, "x")));
        assert_eq!(parse_numbers("1,,2"), Err(error(1, "")));
        assert_eq!(largest("7,8,nine"), Err(error(2, "nine")));
    }
}

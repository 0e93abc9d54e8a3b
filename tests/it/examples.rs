//! The examples that bring their own servers say what they are to say.

#[expect(dead_code, reason = "its main is not run here")]
#[path = "../../pooled-fetch/examples/balance.rs"]
mod balance;

#[expect(dead_code, reason = "its main is not run here")]
#[path = "../../pooled-fetch/examples/grpc/main.rs"]
mod grpc;

use pooled_fetch_tests::bounded;

#[tokio::test]
async fn a_server_that_stops_and_one_that_comes_fail_no_request_of_a_balancer() {
    bounded(async {
        let served = balance::run().await.expect("no request fails");
        assert_eq!(served.values().sum::<usize>(), 3 * 16 * 50);
        let names: Vec<_> = served.keys().map(String::as_str).collect();
        assert_eq!(names, ["first", "fourth", "second", "third"]);
        // Whoever serves in all three rounds serves most, and no other is left out.
        assert!(
            served["first"] > served["second"] && served["third"] > served["fourth"],
            "{served:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn the_health_of_a_grpc_server_is_told_once_and_as_it_changes() {
    bounded(async {
        let address = grpc::serve::serve().await.expect("a server");
        let lines = grpc::report(address, "").await.expect("a server that answers");
        let expected =
            ["it is Serving", "now it is Serving", "now it is NotServing", "connections opened: 1"];
        assert_eq!(lines, expected);
        let error = grpc::report(address, "none").await.expect_err("no such service");
        assert_eq!(error.to_string(), "NotFound: no service none");
    })
    .await;
}

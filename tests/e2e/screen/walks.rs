//! Sign-ins as people make them.

use super::stage::Stage;

#[actix_web::test]
async fn probe() {
    let stage = Stage::new().await;
    for (provider, account) in [
        ("oidc", "ann-mfa"),
        ("microsoft", "mia-mfa"),
        ("entra", "ann-mfa"),
        ("contoso", "ann-mfa"),
        ("github", "ann-mfa"),
        ("oidc", "bob-password"),
        ("oidc", "cleo-declines"),
        ("oidc", "dana-cancels"),
        ("oidc", "fritz-fails"),
        ("microsoft", "omar-ignores"),
        ("entra", "olaf-ignores"),
        ("contoso", "olaf-ignores"),
        ("github", "bob-password"),
        ("github", "abe-absent"),
        ("github", "dana-cancels"),
        ("entra", "paul-blocked"),
        ("entra", "ulf-unmanaged"),
        ("entra", "fritz-fails"),
        ("contoso", "fay-fabrikam"),
        ("entra", "dana-cancels"),
        ("entra", "cleo-declines"),
        ("oidc", "nell-no-evidence"),
    ] {
        stage.screen.forget_cookies().await;
        stage.begin(provider).await;
        stage.pick(account).await;
        let url = stage.screen.arrive_at(&["http://127.0.0."]).await;
        if url.host_str() == Some("127.0.0.2") {
            eprintln!(
                "{provider} {account}: at provider {}",
                stage.screen.describe().await
            );
        } else {
            eprintln!("{provider} {account}: {}", stage.outcome().await);
        }
    }
}

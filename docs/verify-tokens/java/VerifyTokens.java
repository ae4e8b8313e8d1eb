import com.nimbusds.jose.JOSEException;
import com.nimbusds.jose.JOSEObjectType;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.jwk.source.JWKSource;
import com.nimbusds.jose.jwk.source.JWKSourceBuilder;
import com.nimbusds.jose.jwk.source.RateLimitReachedException;
import com.nimbusds.jose.proc.BadJOSEException;
import com.nimbusds.jose.proc.DefaultJOSEObjectTypeVerifier;
import com.nimbusds.jose.proc.JWSVerificationKeySelector;
import com.nimbusds.jose.proc.SecurityContext;
import com.nimbusds.jose.util.DefaultResourceRetriever;
import com.nimbusds.jose.util.JSONObjectUtils;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.SignedJWT;
import com.nimbusds.jwt.proc.DefaultJWTClaimsVerifier;
import com.nimbusds.jwt.proc.DefaultJWTProcessor;
import java.io.IOException;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.URL;
import java.text.ParseException;
import java.time.Duration;
import java.time.Instant;
import java.util.Collection;
import java.util.Collections;
import java.util.Date;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.StringJoiner;
import java.util.TreeMap;

/**
 * Verifies Countersign's access tokens in a registry service, with Nimbus JOSE+JWT.
 *
 * <pre>{@code
 * var tokens = new VerifyTokens(ISSUER, AUDIENCE);           // once, at start
 * var claims = tokens.verify(VerifyTokens.bearer(request.getHeader("Authorization")));
 * VerifyTokens.requireScope(claims, "packages:publish");
 * }</pre>
 *
 * Each of these throws {@link Refused}, which holds the HTTP status and the value of
 * {@code WWW-Authenticate} to answer with. Safe for use by many threads.
 */
public final class VerifyTokens {
    /** What the broker signs access tokens with. For EdDSA, Nimbus needs Google's Tink as well. */
    private static final Set<JWSAlgorithm> ALGORITHMS = Set.of(JWSAlgorithm.ES256, JWSAlgorithm.RS256);

    /** Seconds by which the broker's clock and ours may differ. */
    private static final int LEEWAY = 30;

    private static final int MAX_TOKEN_CHARS = 8 * 1024;
    private static final int MAX_BODY_BYTES = 256 * 1024;
    private static final int CONNECT_TIMEOUT_MS = 3_000;
    private static final int READ_TIMEOUT_MS = 5_000;

    private final String audience;
    private final DefaultJWTProcessor<SecurityContext> processor = new DefaultJWTProcessor<>();

    /** Reads the issuer's metadata; throws where it cannot be had. */
    public VerifyTokens(String issuer, String audience) throws IOException {
        this.audience = audience;
        // RFC 9068, section 4. An ID token has `typ: JWT` and is refused here.
        processor.setJWSTypeVerifier(new DefaultJOSEObjectTypeVerifier<>(
                new JOSEObjectType("at+jwt"), new JOSEObjectType("application/at+jwt")));
        processor.setJWSKeySelector(new JWSVerificationKeySelector<>(ALGORITHMS, keysOf(issuer)));
        // `cnf`: a token bound to a key (RFC 9449) is not to be accepted as a mere bearer token.
        var claims = new DefaultJWTClaimsVerifier<>(
                // Not `Set.of`, which throws when Nimbus asks it whether it contains null.
                Collections.singleton(audience),
                new JWTClaimsSet.Builder().issuer(issuer).build(),
                Set.of("sub", "client_id", "jti", "iat", "exp"),
                Set.of("cnf"));
        claims.setMaxClockSkew(LEEWAY);
        processor.setJWTClaimsSetVerifier(claims);
    }

    /** The claims of an access token of the issuer for our audience. */
    public JWTClaimsSet verify(String token) throws Refused {
        try {
            // Nimbus would try every key that fits where the token names none.
            if (token.length() > MAX_TOKEN_CHARS || SignedJWT.parse(token).getHeader().getKeyID() == null) {
                throw Refused.invalidToken();
            }
            var claims = processor.process(token, null);
            // One audience, ours: see the README for why a second one is refused.
            var future = Date.from(Instant.now().plusSeconds(LEEWAY));
            if (!claims.getAudience().equals(List.of(audience)) || claims.getIssueTime().after(future)) {
                throw Refused.invalidToken();
            }
            checkTypes(claims);
            return claims;
        } catch (ParseException | BadJOSEException | RateLimitReachedException error) {
            // The rate limit is reached only when a `kid` is not among the keys we have.
            throw Refused.invalidToken();
        } catch (JOSEException error) {
            throw new Refused(503, null, "the key set cannot be had: " + error.getMessage());
        }
    }

    /** Nimbus has checked that they are there; these throw where the type is wrong. */
    private static void checkTypes(JWTClaimsSet claims) throws ParseException, Refused {
        for (var name : List.of("sub", "client_id", "jti")) {
            if (claims.getStringClaim(name).isEmpty()) {
                throw Refused.invalidToken();
            }
        }
        claims.getStringClaim("scope");
    }

    /** The token in an {@code Authorization} header, which may be null. */
    public static String bearer(String authorization) throws Refused {
        var parts = (authorization == null ? "" : authorization).split(" ", 2);
        // RFC 6750, section 3.1: no credentials, no error code.
        if (!parts[0].equalsIgnoreCase("bearer")) {
            throw new Refused(401, challenge(Map.of("realm", "registry")), "no bearer token");
        }
        var token = parts.length == 2 ? parts[1].strip() : "";
        if (!token.matches("[A-Za-z0-9._~+/-]+=*")) {
            throw new Refused(400, challenge(Map.of("error", "invalid_request")), "not one bearer token");
        }
        return token;
    }

    /** Requires a scope. Every service does this; the broker's policy decided who has it. */
    public static void requireScope(JWTClaimsSet claims, String scope) throws Refused {
        var scopes = String.valueOf(claims.getClaim("scope")).split(" ");
        if (!List.of(scopes).contains(scope)) {
            var parameters = Map.of("error", "insufficient_scope", "scope", scope);
            throw new Refused(403, challenge(parameters), "the token lacks the scope " + scope);
        }
    }

    /**
     * Requires one of these {@code acr} values. Only for a service that is stricter than the broker's
     * policy. The values are names, not a ladder: list every one that will do.
     */
    public static void requireAcr(JWTClaimsSet claims, Collection<String> accepted) throws Refused {
        if (!(claims.getClaim("acr") instanceof String acr) || !accepted.contains(acr)) {
            throw insufficientLogin("acr_values", String.join(" ", accepted));
        }
    }

    /** Requires a login at most {@code maxAge} ago, by the provider's own time. */
    public static void requireMaxAge(JWTClaimsSet claims, Duration maxAge) throws Refused {
        var now = Instant.now().getEpochSecond();
        var recent = claims.getClaim("auth_time") instanceof Long then
                && now - then <= maxAge.toSeconds()
                && then - now <= LEEWAY;
        if (!recent) {
            throw insufficientLogin("max_age", String.valueOf(maxAge.toSeconds()));
        }
    }

    /** The value of {@code WWW-Authenticate} (RFC 6750, section 3; RFC 9470, section 3). */
    public static String challenge(Map<String, String> parameters) {
        var list = new StringJoiner(", ", "Bearer ", "");
        // No quote, backslash or control character: none can end the quotes or the header.
        new TreeMap<>(parameters).forEach((name, value) ->
                list.add(name + "=\"" + value.replaceAll("[^ !#-\\[\\]-~]", "") + "\""));
        return list.toString();
    }

    /** Why a request is refused, and what to answer: the status, and WWW-Authenticate or null. */
    public static final class Refused extends Exception {
        public final int status;
        public final String challenge;

        Refused(int status, String challenge, String reason) {
            super(reason);
            this.status = status;
            this.challenge = challenge;
        }

        static Refused invalidToken() {
            return new Refused(401, challenge(Map.of("error", "invalid_token")), "the token is refused");
        }
    }

    private static Refused insufficientLogin(String name, String value) {
        var parameters = Map.of("error", "insufficient_user_authentication", name, value);
        return new Refused(401, challenge(parameters), "the login is too weak or too long ago");
    }

    /** The keys, fetched every ten minutes and, for an unknown kid, at most twice a minute. */
    private static JWKSource<SecurityContext> keysOf(String issuer) throws IOException {
        var http = new NoRedirects();
        return JWKSourceBuilder.<SecurityContext>create(keySetUrl(issuer, http), http)
                .cache(Duration.ofMinutes(10).toMillis(), READ_TIMEOUT_MS)
                .rateLimited(Duration.ofMinutes(1).toMillis())
                .outageTolerant(Duration.ofDays(1).toMillis())
                .build();
    }

    private static URL keySetUrl(String issuer, NoRedirects http) throws IOException {
        var base = issuer.endsWith("/") ? issuer.substring(0, issuer.length() - 1) : issuer;
        var document = http.retrieveResource(safe(base + "/.well-known/openid-configuration"));
        try {
            var metadata = JSONObjectUtils.parse(document.getContent());
            // RFC 8414, section 3.3: identical, or it is not our issuer's.
            if (!issuer.equals(metadata.get("issuer"))) {
                throw new IOException("the metadata is of another issuer");
            }
            return safe(JSONObjectUtils.getString(metadata, "jwks_uri"));
        } catch (ParseException error) {
            throw new IOException("the metadata is not as agreed", error);
        }
    }

    /** https, or http to this very machine (development). */
    private static URL safe(String text) throws IOException {
        try {
            var url = URI.create(text);
            var loopback = String.valueOf(url.getHost()).matches("localhost|127(\\.\\d+){3}|\\[::1\\]");
            if ("https".equals(url.getScheme()) || ("http".equals(url.getScheme()) && loopback)) {
                return url.toURL();
            }
        } catch (IllegalArgumentException | NullPointerException error) {
            throw new IOException("not a URL", error);
        }
        throw new IOException("not an https URL");
    }

    private static final class NoRedirects extends DefaultResourceRetriever {
        NoRedirects() {
            super(CONNECT_TIMEOUT_MS, READ_TIMEOUT_MS, MAX_BODY_BYTES);
        }

        @Override
        protected HttpURLConnection openHTTPConnection(URL url) throws IOException {
            var connection = super.openHTTPConnection(url);
            connection.setInstanceFollowRedirects(false);
            return connection;
        }
    }

    /** For trying it out: {@code java VerifyTokens ISSUER AUDIENCE SCOPE < token}. */
    public static void main(String[] arguments) throws IOException {
        var tokens = new VerifyTokens(arguments[0], arguments[1]);
        try {
            var claims = tokens.verify(new String(System.in.readAllBytes()).strip());
            requireScope(claims, arguments[2]);
            System.out.println(claims);
        } catch (Refused refused) {
            System.out.println(refused.status + " " + refused.challenge + " (" + refused.getMessage() + ")");
        }
    }
}

// Verifies Countersign's access tokens in a registry service, with jose.
//
//     const claims = await verify(bearer(request.headers.authorization), ISSUER, AUDIENCE);
//     requireScope(claims, "packages:publish");
//
// Each of these throws `Refused`, which holds the HTTP status and the value of
// `WWW-Authenticate` to answer with. Never read a claim of a token that `verify` has not returned.

import { createRemoteJWKSet, decodeProtectedHeader, errors, jwtVerify } from "jose";

// What the broker may sign access tokens with. HS256 and `none` are not on the list.
const ALGORITHMS = ["ES256", "RS256", "EdDSA"];
// A token that brings its own key, or rules we do not know.
const FORBIDDEN_HEADERS = ["crit", "jwk", "jku", "x5u", "x5c"];
// Seconds by which the broker's clock and ours may differ.
const LEEWAY = 30;
const MAX_TOKEN_BYTES = 8 * 1024;
const TIMEOUT_MS = 5_000;

/** Why a request is refused: `status`, and `challenge` for `WWW-Authenticate` (or null). */
export class Refused extends Error {
  constructor(status, challenge, reason, cause) {
    super(reason, { cause });
    this.name = "Refused";
    this.status = status;
    this.challenge = challenge;
  }
}

/** The token in an `Authorization` header, which may be undefined. */
export function bearer(authorization) {
  const [, scheme, token] = /^(\S*) *(.*?) *$/s.exec(authorization ?? "");
  // RFC 6750, section 3.1: no credentials, no error code.
  if (scheme.toLowerCase() !== "bearer") {
    throw new Refused(401, challenge({ realm: "registry" }), "the request has no bearer token");
  }
  if (!/^[A-Za-z0-9._~+/-]+=*$/.test(token)) {
    throw new Refused(400, challenge({ error: "invalid_request" }), "not one bearer token");
  }
  return token;
}

/** The claims of an access token of `issuer` for `audience`. Throws `Refused`. */
export async function verify(token, issuer, audience) {
  checkHeader(token);
  const keys = await keysOf(issuer);
  try {
    const { payload } = await jwtVerify(token, keys, {
      issuer,
      audience,
      // RFC 9068, section 4. An ID token has `typ: JWT` and is refused here.
      typ: "at+jwt",
      algorithms: ALGORITHMS,
      clockTolerance: LEEWAY,
      requiredClaims: ["sub", "client_id", "jti", "iat", "exp"],
    });
    checkClaims(payload, audience);
    return payload;
  } catch (error) {
    if (error instanceof Refused) throw error;
    // Whatever jose does not call a fault of the token is one of the key set or of the network.
    throw isFaultOfToken(error) ? invalid(error.code) : unavailable("the key set cannot be had", error);
  }
}

/** Requires a scope. Every service does this; the broker's policy decided who has it. */
export function requireScope(claims, scope) {
  if (!(claims.scope ?? "").split(" ").includes(scope)) {
    const header = challenge({ error: "insufficient_scope", scope });
    throw new Refused(403, header, `the token lacks the scope \`${scope}\``);
  }
}

/**
 * Requires one of `acrValues`, and a login at most `maxAge` seconds ago.
 *
 * Only for a service that is stricter than the broker's policy. The values are names, not a ladder:
 * list every one that will do.
 */
export function requireLogin(claims, { acrValues, maxAge }) {
  const acrIsListed = acrValues === undefined || acrValues.includes(claims.acr);
  if (acrIsListed && (maxAge === undefined || isRecent(claims.auth_time, maxAge))) return;
  const parameters = { error: "insufficient_user_authentication" };
  if (acrValues?.length) parameters.acr_values = acrValues.join(" ");
  if (maxAge !== undefined) parameters.max_age = String(maxAge);
  throw new Refused(401, challenge(parameters), "the login is too weak or too long ago");
}

/** The value of `WWW-Authenticate` (RFC 6750, section 3; RFC 9470, section 3). */
export function challenge(parameters) {
  // No quote, backslash or control character: none can end the quotes or the header.
  const quotable = (value) => value.replace(/[^\x20\x21\x23-\x5b\x5d-\x7e]/g, "");
  return `Bearer ${Object.entries(parameters).map(([k, v]) => `${k}="${quotable(v)}"`).join(", ")}`;
}

function checkHeader(token) {
  if (token.length > MAX_TOKEN_BYTES) throw invalid("too long");
  let header;
  try {
    header = decodeProtectedHeader(token);
  } catch {
    throw invalid("malformed");
  }
  if (FORBIDDEN_HEADERS.some((name) => name in header)) throw invalid("header");
  // jose would take the only key that fits where the token names none.
  if (typeof header.kid !== "string") throw invalid("kid");
}

function checkClaims(claims, audience) {
  // One audience, ours: see the README for why a second one is refused.
  if (claims.aud !== audience) throw invalid("another audience");
  for (const name of ["sub", "client_id", "jti"]) {
    if (typeof claims[name] !== "string" || claims[name] === "") throw invalid(`\`${name}\``);
  }
  if (!Number.isInteger(claims.iat) || !Number.isInteger(claims.exp)) throw invalid("a time");
  if (claims.iat > Date.now() / 1000 + LEEWAY) throw invalid("from the future");
  if (typeof (claims.scope ?? "") !== "string") throw invalid("`scope`");
  // Bound to a key (RFC 9449): not to be accepted as a mere bearer token.
  if ("cnf" in claims) throw invalid("bound to a key");
}

// One key set for each issuer, for the life of the process. jose fetches it at the first token,
// every ten minutes, and for an unknown `kid` once a minute.
const keySets = new Map();

function keysOf(issuer) {
  if (!keySets.has(issuer)) {
    const found = discover(issuer);
    keySets.set(issuer, found);
    // A failure is not kept: the next token tries again.
    found.catch(() => keySets.delete(issuer));
  }
  return keySets.get(issuer);
}

async function discover(issuer) {
  const metadata = await fetchMetadata(issuer);
  // RFC 8414, section 3.3: identical, or it is not our issuer's.
  if (metadata?.issuer !== issuer) throw unavailable("the metadata is of another issuer");
  return createRemoteJWKSet(safeUrl(metadata.jwks_uri), {
    cacheMaxAge: 600_000,
    cooldownDuration: 60_000,
    timeoutDuration: TIMEOUT_MS,
  });
}

async function fetchMetadata(issuer) {
  const url = safeUrl(`${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`);
  try {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const response = await fetch(url, { redirect: "error", signal });
    if (response.status !== 200) throw new Error(`status ${response.status}`);
    return await response.json();
  } catch (error) {
    throw unavailable("the issuer's metadata cannot be had", error);
  }
}

/** https, or http to this very machine (development). */
function safeUrl(text) {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const loopback = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(url?.hostname);
  if (url?.protocol === "https:" || (url?.protocol === "http:" && loopback)) return url;
  throw unavailable("not an https URL");
}

function isFaultOfToken(error) {
  return [
    errors.JOSEAlgNotAllowed, errors.JOSENotSupported, errors.JWKSMultipleMatchingKeys,
    errors.JWKSNoMatchingKey, errors.JWSInvalid, errors.JWSSignatureVerificationFailed,
    errors.JWTClaimValidationFailed, errors.JWTExpired, errors.JWTInvalid,
  ].some((fault) => error instanceof fault);
}

function isRecent(authTime, maxAge) {
  const age = Date.now() / 1000 - authTime;
  return Number.isInteger(authTime) && age >= -LEEWAY && age <= maxAge;
}

function invalid(reason) {
  return new Refused(401, challenge({ error: "invalid_token" }), `the token is refused: ${reason}`);
}

function unavailable(reason, cause) {
  return new Refused(503, null, reason, cause);
}

// A service that verifies access tokens with jose, for the benchmark to measure countersign-verifier beside.
//
// Started with {"jwks", "issuer", "audience", "token"}. Then reads from standard input, one a line, how often it is to verify
// the token, and answers each with {}.

import * as readline from "node:readline";
import * as jose from "jose";

const { jwks, issuer, audience, token } = JSON.parse(process.argv[2]);
const keys = jose.createLocalJWKSet(jwks);
const expected = { issuer, audience, typ: "at+jwt", algorithms: ["ES256"], requiredClaims: ["exp", "sub"] };

for await (const line of readline.createInterface({ input: process.stdin })) {
  for (let left = JSON.parse(line); left > 0; left--) await jose.jwtVerify(token, keys, expected);
  console.log("{}");
}

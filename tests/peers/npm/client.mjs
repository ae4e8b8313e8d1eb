// A client made of openid-client, with its signature checks on.
//
// Started with its registration as JSON; then reads commands from standard input, one JSON object
// a line, and answers each with one line. Ends when standard input does.
//
//   {"begin": {"provider": "oidc"}}   → {"authorize": "https://…"}
//   {"finish": "https://…/callback?…"} → {"claims": {…}, "user_info": {…}} or {"error": "access_denied", …}

import * as readline from "node:readline";
import * as client from "openid-client";

const { issuer, client_id, client_secret, redirect_uri, scope, id_token_algorithm, authentication } =
  JSON.parse(process.argv[2]);

const METHODS = {
  client_secret_basic: () => client.ClientSecretBasic(client_secret),
  client_secret_post: () => client.ClientSecretPost(client_secret),
  none: () => client.None(),
};

const registration = { id_token_signed_response_alg: id_token_algorithm };
const configuration = await client.discovery(new URL(issuer), client_id, registration, METHODS[authentication](), {
  execute: [client.allowInsecureRequests],
});
client.enableNonRepudiationChecks(configuration);

let expected;

async function begin(parameters) {
  const pkceCodeVerifier = client.randomPKCECodeVerifier();
  expected = { pkceCodeVerifier, expectedState: client.randomState(), expectedNonce: client.randomNonce() };
  const url = client.buildAuthorizationUrl(configuration, {
    redirect_uri,
    scope,
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: "S256",
    state: expected.expectedState,
    nonce: expected.expectedNonce,
    ...parameters,
  });
  return { authorize: url.href };
}

async function finish(callback) {
  try {
    const tokens = await client.authorizationCodeGrant(configuration, new URL(callback), expected);
    const claims = tokens.claims();
    const user_info = await client.fetchUserInfo(configuration, tokens.access_token, claims.sub);
    return { claims, user_info };
  } catch (error) {
    return { error: error.error ?? error.code, description: error.error_description ?? error.message };
  }
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  const answer = command.begin ? await begin(command.begin) : await finish(command.finish);
  console.log(JSON.stringify(answer));
}

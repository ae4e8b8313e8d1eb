// A client made of openid-client, with its signature checks on.
//
// Started with its registration as JSON; then reads commands from standard input, one JSON object
// a line, and answers each with one line. Ends when standard input does.
//
//   {"begin": {"provider": "oidc"}}   → {"authorize": "https://…"}
//   {"finish": "https://…/callback?…"} → {"claims": {…}, "user_info": {…}} or {"error": "access_denied", …}
//   {"refresh": true}                  → {"claims": {…}, "before": {…}, "after": {…}}: introspected before and after the
//                                        revocation of the refresh token
//   {"device": "begin"}                → {"verification_uri_complete": "https://…", …}
//   {"device": "finish"}               → what `finish` answers, once somebody has signed in for the device

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
let refresh_token;
let device;

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

const finish = (callback) => signedIn(() => client.authorizationCodeGrant(configuration, new URL(callback), expected));

async function onDevice(step) {
  if (step === "finish") return signedIn(() => client.pollDeviceAuthorizationGrant(configuration, device));
  device = await client.initiateDeviceAuthorization(configuration, { scope });
  return device;
}

async function signedIn(grant) {
  try {
    const tokens = await grant();
    const claims = tokens.claims();
    refresh_token = tokens.refresh_token;
    const user_info = await client.fetchUserInfo(configuration, tokens.access_token, claims.sub);
    return { claims, user_info };
  } catch (error) {
    return { error: error.error ?? error.code, description: error.error_description ?? error.message };
  }
}

async function refresh() {
  const tokens = await client.refreshTokenGrant(configuration, refresh_token);
  const introspect = () => client.tokenIntrospection(configuration, tokens.access_token);
  const before = await introspect();
  await client.tokenRevocation(configuration, tokens.refresh_token);
  return { claims: tokens.claims(), before, after: await introspect() };
}

async function answer(command) {
  if (command.begin) return begin(command.begin);
  if (command.device) return onDevice(command.device);
  return command.refresh ? refresh() : finish(command.finish);
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  console.log(JSON.stringify(await answer(command)));
}

// Requests to our own server. Each that changes something carries the header that no foreign page can set.

/** Somebody has to sign in (again); comes back to this page afterwards. */
export function signInAgain() {
  location.assign(`/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`);
}

/** What the server said no to; `message` is for people. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...options });
  } catch {
    throw new Refused(0, "The server cannot be reached. Nothing was done.");
  }
  if (response.status === 401 && path !== "/api/sign-in") {
    signInAgain();
    throw new Refused(401, "Sign in again.");
  }
  const data = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refused(response.status, data.detail ?? `The server answered ${response.status}.`);
  return data;
}

export function get(path) {
  return ask(path, {});
}

export function post(path, body) {
  const headers = { "content-type": "application/json", "x-teleward": "console" };
  return ask(path, { method: "POST", headers, body: JSON.stringify(body ?? {}) });
}

/**
 * Who is signed in. A real portal has its own sign-in and its own way to a token; only `token()` and `person()` are used
 * by the rest. The token is kept for this tab alone and ends with it.
 */
const KEY = "portal.token";

let served = null;

/** `{api, forgot_password_url, people: [{name, email, role, token}]}`, from the server of these files. */
export async function offered() {
  served = await (await fetch("demo.json")).json();
  return served;
}

/** The service's address, such as http://127.0.0.1:8000. */
export async function api() {
  return (served ?? (await offered())).api;
}

/** Where mbizmarket helps with a forgotten password: `entry` says so too, but not along with an account to confirm. */
export async function forgotPassword() {
  return (served ?? (await offered())).forgot_password_url;
}

export const token = () => sessionStorage.getItem(KEY);

export function signIn(newToken) {
  sessionStorage.setItem(KEY, newToken);
}

export function signOut() {
  sessionStorage.removeItem(KEY);
}

/** The claims of the token, or null. They fill in forms; whether they are true is for the service to say. */
export function person() {
  try {
    const bytes = Uint8Array.from(atob(token().split(".")[1].replaceAll("-", "+").replaceAll("_", "/")), (c) =>
      c.charCodeAt(0),
    );
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return null;
  }
}

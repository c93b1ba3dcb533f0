/** Goes to another page: a new step for the back button. */
export function go(path) {
  location.hash = path;
}

/** The same in place of this step. */
export function replace(path) {
  location.replace(`#${path}`);
}

/** Corrects the address without showing anything anew. */
export function rename(path) {
  history.replaceState(null, "", `#${path}`);
}

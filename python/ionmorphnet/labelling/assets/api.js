// Requests to the session. Addresses are relative, so that all of them begin with the token of the page.

export class RequestError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

async function answered(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new RequestError("The session has ended, or its computer cannot be reached. All labels up to the last saved one "
      + "are in the file; run the command again to continue.", 0);
  }
  let value = null;
  try {
    value = await response.json();
  } catch {
    throw new RequestError(`The answer to '${path}' cannot be read (status ${response.status}).`, response.status);
  }
  if (!response.ok) throw new RequestError(value.error || `status ${response.status}`, response.status);
  return value;
}

export const get = (path) => answered(path, {});

export const post = (path, body) => answered(path, {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify(body),
});

export const imageAddress = (item, scaling) => `image/${item}.png?scaling=${scaling}`;

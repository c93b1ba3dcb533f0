"use strict";

// Calls go to the service that serves this page, wherever that is; the document's servers are for everybody else.
async function show() {
  const answer = await fetch("openapi.json");
  if (!answer.ok) throw new Error(`openapi.json: ${answer.status}`);
  const spec = await answer.json();
  spec.servers = [{ url: new URL(".", location.href).href.replace(/\/$/, ""), description: "This service" }];
  SwaggerUIBundle({
    spec,
    dom_id: "#docs",
    deepLinking: true,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    displayRequestDuration: true,
    persistAuthorization: false, // a token is not for the browser's disk
    tryItOutEnabled: true,
    validatorUrl: null,
  });
}

show().catch((error) => {
  document.getElementById("docs").textContent = `The document could not be loaded: ${error.message}`;
});

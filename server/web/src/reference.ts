// Entry point of the reference of the REST API: Swagger UI over the server's OpenAPI document.
import SwaggerUI from "swagger-ui-dist/swagger-ui-es-bundle.js";
import "swagger-ui-dist/swagger-ui.css";
import "./reference.css";
import { root } from "./state/root";
import { startTheme } from "./state/theme.svelte";

startTheme();
SwaggerUI({
  dom_id: "#reference",
  url: `${root}/api/v1/openapi.json`,
  // Without this, Swagger UI sends the document to a validator on another host.
  validatorUrl: null,
  deepLinking: true,
  filter: true,
  defaultModelsExpandDepth: 0,
  // The header proves to the server that this page requests the change, and not a page of another site.
  requestInterceptor: (request) => {
    request.headers["x-tracker-dashboard"] = "1";
    return request;
  },
});

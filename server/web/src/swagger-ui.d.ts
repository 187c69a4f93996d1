// The part of Swagger UI that reference.ts uses. The package has no types.
declare module "swagger-ui-dist/swagger-ui-es-bundle.js" {
  interface Options {
    dom_id: string;
    url: string;
    validatorUrl: null;
    deepLinking: boolean;
    filter: boolean;
    defaultModelsExpandDepth: number;
    requestInterceptor: <Request extends { headers: Record<string, string> }>(request: Request) => Request;
  }
  export default function SwaggerUI(options: Options): void;
}

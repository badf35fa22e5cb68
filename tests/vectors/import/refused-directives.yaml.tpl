openapi: "3.0.1"
info:
  title: orders
  version: "1"
paths:
  /orders:
    get:
%{ if protected }
      security:
        - pool: ["orders/read"]
%{ endif }
      x-amazon-apigateway-integration:
        type: http_proxy
        httpMethod: GET
        uri: http://${backend}/orders

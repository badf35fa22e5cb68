"""Functions as their authors write them, for the runtime of Lambda: one on the models of Powertools, one with an
application of Starlette. They know nothing of a gateway.
"""

import base64
import json

from aws_lambda_powertools.utilities.parser.models import APIGatewayProxyEventModel, APIGatewayProxyEventV2Model
from mangum import Mangum
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

PNG = bytes(range(256))


def seen(event, context):
    """Answers with the event, after the models have taken it, or as its path asks."""
    if event.get("version") == "2.0":
        path = APIGatewayProxyEventV2Model.model_validate(event).rawPath
        cookies = {"cookies": ["a=1; Path=/", "b=2, 3; Path=/"]}
    else:
        path = APIGatewayProxyEventModel.model_validate(event).path
        cookies = {"multiValueHeaders": {"Set-Cookie": ["a=1; Path=/", "b=2, 3; Path=/"]}}
    if path.endswith("/fails"):
        raise ValueError("the secret of the function")
    if path.endswith("/nothing"):
        return {"statusCode": 99, "body": "the secret of the function"}
    if path.endswith("/image"):
        body = base64.b64encode(PNG).decode()
        return {"statusCode": "201", "headers": {"Content-Type": "image/png"}, "isBase64Encoded": True, "body": body}
    if path.endswith("/cookies"):
        return {"statusCode": 204, **cookies}
    return {"statusCode": 200, "headers": {"Content-Type": "application/json"}, "body": json.dumps(event)}


async def items(request):
    """Tells what it read, and sets two cookies."""
    body = await request.body()
    answer = JSONResponse({
        "method": request.method,
        "item": request.path_params["item"],
        "query": sorted(request.query_params.multi_items()),
        "cookies": request.cookies,
        "type": request.headers.get("content-type"),
        "field": request.headers.get("x-list"),
        "body": body.hex(),
    })
    answer.set_cookie("a", "1")
    answer.set_cookie("b", "2")
    return answer


async def image(request):
    return Response(PNG, media_type="image/png")


application = Starlette(routes=[
    Route("/items/{item}", items, methods=["GET", "POST"]),
    Route("/image", image),
])
web = Mangum(application, lifespan="off")

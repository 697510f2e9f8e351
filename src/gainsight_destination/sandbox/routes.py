"""Every path of the simulated API and what answers it."""

from collections.abc import Mapping
from typing import Final

from gainsight_destination.sandbox import bulk, clickstream, events_framework, metadata, oauth, objects, people, query
from gainsight_destination.sandbox.auth import nobody, require_access_key
from gainsight_destination.sandbox.exchange import Endpoint

ASYNC_PEOPLE: Final = Endpoint({"PUT": people.submit})
PEOPLE_STATUS: Final = Endpoint({"GET": people.status})

ENDPOINTS: Final[Mapping[str, Endpoint]] = {
    "/v1/data/objects/query/{object}": Endpoint({"POST": query.query}, object_api=True),
    "/v1/data/objects/{object}": Endpoint({"POST": objects.insert, "PUT": objects.update}, object_api=True),
    "/v1/data/objects/{object}/{gsid}": Endpoint({"GET": objects.read_one, "DELETE": objects.delete}, object_api=True),
    "/v1/peoplemgmt/v1.0/people": Endpoint({"PUT": people.upsert}),
    "/v1.0/api/people": Endpoint({"PUT": people.upsert, "GET": people.ping}),
    "/v1/peoplemgmt/v1.0/people/async": ASYNC_PEOPLE,
    "/v1.0/api/people/async": ASYNC_PEOPLE,
    "/v1/peoplemgmt/v1.0/people/async/{status}": PEOPLE_STATUS,
    "/v1.0/api/people/async/{status}": PEOPLE_STATUS,
    "/v1/meta/services/objects/list": Endpoint({"GET": metadata.list_objects}),
    "/v1/meta/services/objects/describe": Endpoint({"POST": metadata.describe_several}),
    "/v1/meta/services/objects/{object}/describe": Endpoint({"GET": metadata.describe_one}),
    "/v1/meta/services/objects/": Endpoint({"POST": metadata.list_objects}),
    "/v1/meta/services/dropdowns/{category}": Endpoint({"GET": metadata.dropdown}),
    "/v1.0/admin/connector/job/bulkimport": Endpoint({"POST": bulk.submit}, quota="bulk"),
    "/v1.0/admin/connector/job/bulkimport/status/{status}": Endpoint({"GET": bulk.status}),
    "/v1.0/api/eventManager/event": Endpoint(
        {"POST": events_framework.publish}, allow=events_framework.require_publisher
    ),
    "/v1/users/m2m/oauth/token": Endpoint({"POST": oauth.token}, allow=nobody, quota="none"),
    "/clickstream/segmentio/event": Endpoint({"POST": clickstream.receive}, allow=require_access_key, quota="none"),
}

"""The example's second function: books, on a DynamoDB table of their own."""

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from constructs import Construct

from .backend import Backend


class Books(Construct):
    """The table, and the function that may read and write its items and do nothing else to it.

    A class because it is a CDK construct: the table outlives the stack.

    Attributes:
        table: The DynamoDB table.
        backend: The function with its URL.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        bytecode: str = "auto",
        function_name: str | None = None,
        removal_policy: cdk.RemovalPolicy = cdk.RemovalPolicy.RETAIN,
    ) -> None:
        """Make table and function.

        Args:
            scope: The stack.
            construct_id: The id within *scope*.
            bytecode: As ``Backend``'s.
            function_name: As ``Backend``'s.
            removal_policy: What becomes of the table when the stack goes. It is kept unless somebody says otherwise: what
                people wrote cannot be made again from this repository.
        """
        super().__init__(scope, construct_id)
        self.table = dynamodb.Table(
            self,
            "Table",
            # The keys, and how far they carry: backend/books/store.py.
            partition_key=dynamodb.Attribute(name="shelf", type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            # Encrypted under DynamoDB's own key, as every table is: a key of one's own is charged for, and would guard
            # against nobody who has this function's role.
            removal_policy=removal_policy,
        )
        self.backend = Backend(
            self,
            "Api",
            handler="backend.books.handler.handler",
            description="The example's books: create, list, read, update, delete",
            bytecode=bytecode,
            function_name=function_name,
            environment={"BOOKS_TABLE": self.table.table_name},
        )
        self.backend.function.add_to_role_policy(
            iam.PolicyStatement(
                sid="UseItems",
                # No Scan, no UpdateItem, no batches, nothing on indexes (there are none): what store.py calls, by name.
                actions=["dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query"],
                resources=[self.table.table_arn],
            )
        )

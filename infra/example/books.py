"""The example's second function: books, on a DynamoDB table of their own."""

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from constructs import Construct

from .backend import Backend


class Books(Construct):
    """The table, and the function that may read and write its items and do nothing else to it.

    Attributes:
        table: The DynamoDB table; by default it is kept when the stack is deleted.
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
            removal_policy: What happens to the table when the stack is deleted. By default it is kept: what people wrote
                cannot be made again.
        """
        super().__init__(scope, construct_id)
        self.table = dynamodb.Table(
            self,
            "Table",
            # backend/books/store.py explains the keys and their limits.
            partition_key=dynamodb.Attribute(name="shelf", type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            # Encrypted under DynamoDB's own key, like every table. A customer-managed key is charged for, and would not keep
            # out anyone who has this function's role.
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
                # The four operations that store.py calls: no Scan, no UpdateItem, no batches.
                actions=["dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query"],
                resources=[self.table.table_arn],
            )
        )
